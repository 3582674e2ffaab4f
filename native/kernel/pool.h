/* Average and max pooling, lanes = samples. */
#pragma once
#include "layer.h"

namespace WZ_NAMESPACE {

/* Output rows first to end of a 2 by 2 average. */
static void forward_pool_of_four(const Layer& l, int first, int end) {
  const Tensor &in = *l.in, &out = *l.out;
  int stride = l.spec.stride, count = in.c * LANES;
  for (int y = first; y < end; y++)
    for (int x = 0; x < out.w; x++) {
      const float *from = in.value + in.at(y * stride, x * stride), *below = from + in.row;
      float* to = out.value + out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V sum = ((load(from + i) + load(from + count + i)) + load(below + i)) + load(below + count + i);
        store(to + i, sum * splat(0.25f));
      }
    }
}

/* Output rows first to end. */
static void forward_pool(const Layer& l, int first, int end) {
  if (l.spec.kind == WZ_AVERAGE_POOL && l.spec.kernel_h == 2 && l.spec.kernel_w == 2)
    return forward_pool_of_four(l, first, end);
  const Tensor &in = *l.in, &out = *l.out;
  int size_h = l.spec.kernel_h, size_w = l.spec.kernel_w, stride = l.spec.stride, count = in.c * LANES;
  bool average = l.spec.kind == WZ_AVERAGE_POOL;
  V share = splat(1.0f / (float)(size_h * size_w));
  for (int y = first; y < end; y++)
    for (int x = 0; x < out.w; x++) {
      const float* from = in.value + in.at(y * stride, x * stride);
      float* to = out.value + out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V r = load(from + i);
        for (int ky = 0; ky < size_h; ky++)
          for (int kx = ky == 0; kx < size_w; kx++) {
            V v = load(from + (ky * in.full_w + kx) * count + i);
            r = average ? r + v : maximum(v, r);
          }
        store(to + i, average ? r * share : r);
      }
    }
}

/* A layer's rows first to end are there: computes its pool as far as they reach. */
static void forward_own_pool(const Layer& l, int first, int end) {
  if (l.pool) forward_pool(*l.pool, first / l.pool->spec.stride, end / l.pool->spec.stride);
}

static void backward_pool(const Layer& l) {
  const Tensor &in = *l.in, &out = *l.out;
  int size_h = l.spec.kernel_h, size_w = l.spec.kernel_w, stride = l.spec.stride, count = in.c * LANES;
  bool average = l.spec.kind == WZ_AVERAGE_POOL;
  V share = splat(1.0f / (float)(size_h * size_w));
  __builtin_memset(in.gradient, 0, (size_t)in.size() * sizeof(float));
  for (int y = 0; y < out.h; y++)
    for (int x = 0; x < out.w; x++) {
      int corner = in.at(y * stride, x * stride), place = out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V g = load(out.gradient + place + i), largest = load(out.value + place + i);
        if (average) g = g * share;
        I open = V{} == V{};
        for (int ky = 0; ky < size_h; ky++)
          for (int kx = 0; kx < size_w; kx++) {
            int at = corner + (ky * in.full_w + kx) * count + i;
            V part = g;
            if (!average) { /* the first of equal largest values gets it all */
              I here = open & (I)(load(in.value + at) == largest);
              part = select(here, g, V{});
              open &= ~here;
            }
            store(in.gradient + at, load(in.gradient + at) + part);
          }
      }
    }
}

}  // namespace WZ_NAMESPACE
