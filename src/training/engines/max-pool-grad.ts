import * as tf from '@tensorflow/tfjs-core'

/**
 * Replaces a tfjs backend's gradient of max pooling. That of the wasm backend (4.22) starts its search for a window's
 * maximum at the smallest positive float, so windows without a positive value get no gradient.
 *
 * Of equal values the first one in row-major order gets the gradient, as in TensorFlow.
 */
export function replaceMaxPoolGrad(backendName: string): void {
  if (tf.getKernel('MaxPoolGrad', backendName)) tf.unregisterKernel('MaxPoolGrad', backendName)
  tf.registerKernel({
    kernelName: 'MaxPoolGrad',
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const x = inputs['input'] as tf.Tensor4D
      const dy = inputs['dy'] as tf.Tensor4D
      const { filterSize, strides, pad, dimRoundingMode } = attrs as unknown as tf.MaxPoolGradAttrs
      const info = tf.backend_util.computePool2DInfo(x.shape, filterSize, strides, 1, pad, dimRoundingMode)
      return tf.tensor4d(scatterToMaxima(x.dataSync(), dy.dataSync(), info), x.shape)
    },
  })
}

/** @returns the gradient of the input, `[batch, inHeight, inWidth, channels]` */
function scatterToMaxima(
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  info: tf.backend_util.Conv2DInfo,
): Float32Array {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, padInfo } = info
  const dx = new Float32Array(batchSize * inHeight * inWidth * inChannels)
  let output = 0
  for (let n = 0; n < batchSize; n++) {
    for (let oy = 0; oy < outHeight; oy++) {
      const top = oy * info.strideHeight - padInfo.top
      for (let ox = 0; ox < outWidth; ox++) {
        const left = ox * info.strideWidth - padInfo.left
        for (let c = 0; c < inChannels; c++) {
          let winner = -1
          for (let y = Math.max(0, top); y < Math.min(inHeight, top + info.filterHeight); y++) {
            for (let x0 = Math.max(0, left); x0 < Math.min(inWidth, left + info.filterWidth); x0++) {
              const candidate = ((n * inHeight + y) * inWidth + x0) * inChannels + c
              if (winner === -1 || x[candidate]! > x[winner]!) winner = candidate
            }
          }
          dx[winner]! += dy[output++]!
        }
      }
    }
  }
  return dx
}
