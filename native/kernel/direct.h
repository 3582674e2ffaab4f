/* Convolutions and dense layers, product by product. */
#pragma once
#include "layer.h"

namespace WZ_NAMESPACE {

static void forward_direct(const Layer& l) {
  int outputs = l.spec.out_c;
  weighted_sums(l.pixels, outputs, l.inputs, l.taps, l.in->value, l.windows, l.weights, outputs, l.bias, l.out->value,
                l.places);
  if (l.activation == WZ_LINEAR) return;
  const Tensor& out = *l.out;
  with_activation(l.activation, [&](auto activation) {
    for (int y = 0; y < out.h; y++) {
      float* row = out.value + out.at(y, 0);
      for (int i = 0; i < out.w * out.c * LANES; i += WIDTH) store(row + i, activate<activation.value>(load(row + i)));
    }
  });
}

/* The outputs' gradient to that before the activation, in place, and its sums over pixels. */
static void output_gradient_direct(const Layer& l) {
  const Tensor& out = *l.out;
  int channels = out.c * LANES;
  with_activation(l.activation, [&](auto activation) {
    for (int p = 0; p < l.pixels; p++) {
      const float* value = out.value + l.places[p];
      float* gradient = out.gradient + l.places[p];
      for (int i = 0; i < channels; i += WIDTH) {
        V g = deactivate<activation.value>(load(value + i), load(gradient + i));
        store(gradient + i, g);
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
  /* A row of output pixels at a time, which stays in the first-level cache while all taps pass over it. */
  int w = l.out->w;
  for (int i = 0; i < l.pixels; i += w)
    lane_products(w, l.inputs, outputs, l.in->value, l.windows + i, l.taps, l.out->gradient, l.places + i, l.sums);
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
    for (int j = 0; j < l.inputs * outputs; j++) kernel[j] = sum_lanes(l.sums + j * LANES);
}

}  // namespace WZ_NAMESPACE
