/* Convolutions and dense layers, product by product. */
#pragma once
#include "pool.h"

namespace WZ_NAMESPACE {

static void forward_direct(const Layer& l) {
  const Tensor& out = *l.out;
  /* Rows enough for a full tile, few enough to be activated and pooled while they are near. */
  int rows = (15 + out.w) / out.w, channels = out.c * LANES;
  for (int y = 0; y < out.h; y += rows) {
    int end = y + rows < out.h ? y + rows : out.h, pixel = y * out.w;
    weighted_sums({(end - y) * out.w, out.c, l.inputs, l.taps, l.windows + pixel, l.places + pixel, l.in->value,
                   l.weights, l.bias, out.value, out.c, 1, 0, 0, 0});
    if (l.activation != WZ_LINEAR) with_activation(l.activation, [&](auto activation) {
      for (int row = y; row < end; row++) {
        float* p = out.value + out.at(row, 0);
        int count = out.w * channels;
        for (int i = 0; i < count; i += 4 * LANES)
          for (int part = 0; part < LANES; part += WIDTH) {
            V x[4] = {};
            for (int j = 0; j < 4 && i + j * LANES < count; j++) x[j] = load(p + i + j * LANES + part);
            activate4<activation.value>(x);
            for (int j = 0; j < 4 && i + j * LANES < count; j++) store(p + i + j * LANES + part, x[j]);
          }
      }
    });
    forward_own_pool(l, {y, 0, end, out.w});
  }
}

/* The outputs' gradient to that before the activation, in place, and its sums over pixels. */
static void output_gradient_direct(const Layer& l) {
  const Tensor& out = *l.out;
  int channels = out.c * LANES;
  with_activation(l.activation, [&](auto activation) {
    for (int y = 0; y < out.h; y++)
      for (int x = 0; x < out.w; x++) {
        float share;
        const float *from = output_gradient(l, y, x, &share), *value = out.value + out.at(y, x);
        float* to = out.gradient + out.at(y, x);
        for (int i = 0; i < channels; i += WIDTH) {
          V g = deactivate<activation.value>(load(value + i), splat(share) * load(from + i));
          store(to + i, g);
          store(l.bias_sums + i, load(l.bias_sums + i) + g);
        }
      }
  });
}

static void input_gradient_direct(const Layer& l) {
  int outputs = l.spec.out_c, rows = l.spec.kind == WZ_CONV2D ? l.spec.kernel_h : 1, run = l.inputs / rows;
  __builtin_memset(l.in->gradient, 0, (size_t)l.in->size() * sizeof(float));
  for (int i = 0; i < l.pixels; i++)
    for (int ky = 0; ky < rows; ky++)
      spread(run, outputs, l.out->gradient + l.places[i], l.transposed + ky * run, l.inputs,
             l.in->gradient + l.windows[i] + l.taps[ky * run]);
}

/* The outputs' gradient to samples [pixels][LANES][padded_outputs]. */
static void gradient_by_sample(const Layer& l, float* samples) {
  int outputs = l.spec.out_c;
  for (int i = 0; i < l.pixels; i++)
    for (int o = 0; o < outputs; o += LANES) {
      const float* rows[LANES];
      for (int r = 0; r < LANES; r++)
        rows[r] = l.out->gradient + l.places[i] + (o + r < outputs ? o + r : outputs - 1) * LANES;
      transpose_block(rows, samples + i * LANES * l.padded_outputs + o, l.padded_outputs);
    }
}

static void weight_gradient_direct(const Layer& l) {
  int outputs = l.spec.out_c;
  if (l.by_channel) {
    gradient_by_sample(l, l.samples);
    channel_products(l.pixels, l.inputs, l.padded_outputs, l.in->value, l.windows, l.taps, l.samples, l.padded_outputs,
                     l.sums, l.padded_outputs);
    return;
  }
  /* Some rows of output pixels at a time, which stay near while all taps pass over them. */
  int w = l.out->w, step = (31 + w) / w * w;
  for (int i = 0; i < l.pixels; i += step)
    lane_products({l.pixels - i < step ? l.pixels - i : step, l.inputs, outputs, l.taps, l.windows + i, l.places + i,
                   l.in->value, l.out->gradient, l.sums, 1, 0, 0, 0});
}

static void backward_direct(const Layer& l) {
  output_gradient_direct(l);
  weight_gradient_direct(l);
  if (!l.first) input_gradient_direct(l);
}

/* weights [inputs][outputs] to transposed [outputs][inputs]. */
static void prepare_transposed(const Layer& l) {
  int outputs = l.spec.out_c, k = 0;
  for (; k + LANES <= l.inputs; k += LANES) {
    int o = 0;
    for (; o + LANES <= outputs; o += LANES) {
      const float* rows[LANES];
      for (int r = 0; r < LANES; r++) rows[r] = l.weights + (k + r) * outputs + o;
      transpose_block(rows, l.transposed + o * l.inputs + k, l.inputs);
    }
    for (; o < outputs; o++)
      for (int r = 0; r < LANES; r++) l.transposed[o * l.inputs + k + r] = l.weights[(k + r) * outputs + o];
  }
  for (; k < l.inputs; k++)
    for (int o = 0; o < outputs; o++) l.transposed[o * l.inputs + k] = l.weights[k * outputs + o];
}

/* The batch's sums to kernel [inputs][outputs]. */
static void collect_direct(const Layer& l, float* kernel) {
  int outputs = l.spec.out_c;
  if (l.by_channel)
    for (int k = 0; k < l.inputs; k++)
      __builtin_memcpy(kernel + k * outputs, l.sums + k * l.padded_outputs, (size_t)outputs * sizeof(float));
  else
    sum_lanes(l.sums, l.inputs * outputs, kernel);
}

}  // namespace WZ_NAMESPACE
