/* Average and max pooling, lanes = samples. */
#pragma once
#include "layer.h"

namespace WZ_NAMESPACE {

/* A rectangle of pixels. */
struct Area {
  int y, x, end_y, end_x;
};
WZ_INLINE Area all_of(const Tensor& t) { return {0, 0, t.h, t.w}; }

/* An area of the outputs of a 2 by 2 average. */
static void forward_pool_of_four(const Layer& l, Area area) {
  const Tensor &in = *l.in, &out = *l.out;
  int stride = l.spec.stride, count = in.c * LANES;
  for (int y = area.y; y < area.end_y; y++)
    for (int x = area.x; x < area.end_x; x++) {
      const float *from = in.value + in.at(y * stride, x * stride), *below = from + in.row;
      float* to = out.value + out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V sum = ((load(from + i) + load(from + count + i)) + load(below + i)) + load(below + count + i);
        store(to + i, sum * splat(0.25f));
      }
    }
}

/* An area of the outputs. */
static void forward_pool(const Layer& l, Area area) {
  if (l.spec.kind == WZ_AVERAGE_POOL && l.spec.kernel_h == 2 && l.spec.kernel_w == 2)
    return forward_pool_of_four(l, area);
  const Tensor &in = *l.in, &out = *l.out;
  int size_h = l.spec.kernel_h, size_w = l.spec.kernel_w, stride = l.spec.stride, count = in.c * LANES;
  bool average = l.spec.kind == WZ_AVERAGE_POOL;
  V share = splat(1.0f / (float)(size_h * size_w));
  for (int y = area.y; y < area.end_y; y++)
    for (int x = area.x; x < area.end_x; x++) {
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

/* An area of a layer's outputs is there, and all that lies before it: computes its own pool as far as it reaches. */
static void forward_own_pool(const Layer& l, Area area) {
  if (!l.pool) return;
  int size = l.pool->spec.stride;
  forward_pool(*l.pool, {area.y / size, area.x / size, area.end_y / size, area.end_x / size});
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
