import * as tf from '@tensorflow/tfjs-core'

/**
 * Gives a tfjs backend the gradient of a convolution's kernel, the one kernel that the wasm backend (4.22) lacks for
 * training CNNs.
 *
 * The gradient is itself a convolution: channels take the place of samples, samples that of input channels, and the
 * output gradient is the kernel, spread by the stride. So it runs on the backend's own fast convolution.
 */
export function registerConv2DBackpropFilter(backendName: string): void {
  if (tf.getKernel('Conv2DBackpropFilter', backendName)) return
  tf.registerKernel({
    kernelName: 'Conv2DBackpropFilter',
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const x = inputs['x'] as tf.Tensor4D
      const dy = inputs['dy'] as tf.Tensor4D
      const { strides, pad, dimRoundingMode, filterShape } = attrs as unknown as tf.Conv2DBackpropFilterAttrs
      const info = tf.backend_util.computeConv2DInfo(x.shape, filterShape, strides, 1, pad, dimRoundingMode)
      const { strideHeight, strideWidth, padInfo } = info
      return tf.tidy(() => {
        const padded = tf.pad4d(x, [
          [0, 0],
          [padInfo.top, padInfo.bottom],
          [padInfo.left, padInfo.right],
          [0, 0],
        ])
        const channelsFirst = tf.transpose(padded, [3, 1, 2, 0]) // [in, height, width, samples]
        const spread = tf.transpose(dy, [1, 2, 0, 3]) // [outHeight, outWidth, samples, out]
        const gradient = tf.conv2d(channelsFirst, spread, 1, 'valid', 'NHWC', [strideHeight, strideWidth])
        // A stride that does not divide leaves rows and columns beyond the kernel; they belong to no weight.
        const [height, width, inChannels, outChannels] = filterShape
        const cropped = tf.slice4d(gradient, [0, 0, 0, 0], [inChannels, height, width, outChannels])
        return tf.transpose(cropped, [1, 2, 0, 3]) // [height, width, in, out]
      })
    },
  })
}
