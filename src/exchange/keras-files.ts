import type { Architecture } from '../architecture/architecture.js'
import { reasonOf, ZooError } from '../errors.js'
import { type Hdf5Reader, openHdf5 } from '../zoo/hdf5.js'
import { matchParameters } from './match-parameters.js'

/**
 * Reads the weights of one network from an HDF5 file that Keras wrote, flat in the order of the parameter table. All
 * layouts that hold kernels and biases of layers are read, whatever the layers' automatic numbers:
 *
 * - Keras 2's `model.save('x.h5')`: `model_weights/conv2d_30/conv2d_30/kernel:0`
 * - Keras 2's `model.save_weights('x.h5')`: the same without `model_weights`
 * - Keras 3's `model.save('x.h5')`: `model_weights/conv2d_30/sequential/conv2d_30/kernel`
 * - Keras 3's `model.save_weights('x.weights.h5')`: `layers/conv2d/vars/0`
 *
 * @throws ZooError `zoo` naming the file, and the layer that does not fit the architecture.
 */
export async function readKerasFile(
  path: string,
  architecture: Architecture,
): Promise<Float32Array<ArrayBuffer>> {
  const file = await openHdf5(path)
  try {
    const group = file.hasGroup('model_weights') ? 'model_weights' : ''
    const found = file
      .datasets(`/${group}`)
      .map(({ path: full, shape }) => ({
        path: full.slice(group ? group.length + 2 : 1),
        shape,
        read: () => file.floats(full),
      }))
      // The optimiser's state, where the model was compiled.
      .filter(({ path: name }) => !name.startsWith('optimizer'))
    if (found.length === 0) throw new Error('it holds no weights')
    return matchParameters(architecture, found, layerNames(file, group))
  } catch (error) {
    if (error instanceof ZooError) throw error
    throw new ZooError('zoo', `cannot import ${path}: ${reasonOf(error)}`, { path }, { cause: error })
  } finally {
    file.close()
  }
}

/** Keras 2 lists the layers in their order. */
function layerNames(file: Hdf5Reader, group: string): string[] {
  const names = file.attribute('layer_names', `/${group}`)
  return Array.isArray(names) ? names.map(String) : []
}
