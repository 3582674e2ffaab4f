/* The parts a network is made of, and what all methods of computing a layer share. */
#pragma once
#include "backend.h"
#include "functions.h"
#include "tiles.h"

namespace WZ_NAMESPACE {

WZ_INLINE int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

/* Hands out aligned pieces of one block; with no block it only adds up their sizes. */
struct Arena {
  char* block;
  size_t used;

  template <class T>
  T* take(size_t count) {
    T* piece = block ? reinterpret_cast<T*>(block + used) : nullptr;
    used += (count * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
};

/* [y][x][channel][LANES], with a border of zeros as wide as the layer that reads it wants. */
struct Tensor {
  int h, w, c;
  int top, left, full_h, full_w;
  int row; /* floats from a row to the next; 0: there is one row only, and every image row takes its turn in it */
  float *value, *gradient;

  int size() const { return (row ? full_h : 1) * full_w * c * LANES; }
  int at(int y, int x) const { return (y + top) * row + (x + left) * c * LANES; }
};

enum { DIRECT, ROWS, SQUARES };

/* Scratch of the minimal filtering methods; see minimal.h. */
struct Minimal {
  int tiles;                    /* per row of ROWS, per image of SQUARES */
  int block_tiles, block_rows;  /* of ROWS, handled at once in the forward pass */
  int in_rows, out_rows;        /* of ROWS, handled at once in the backward pass */
  int in_plane, out_plane;      /* floats from one point to the next, of in_points and products, out_points */
  int product_plane, filter_plane, back_plane;
  float *filters, *back_filters; /* G weights, for the forward and the backward pass */
  float *in_points, *out_points, *products;
  int32_t *taps, *back_taps;    /* of one point's convolution */
  int32_t *in_sequence, *out_sequence;      /* i * channels * LANES */
  int32_t *block_windows, *block_places;    /* of a block's tiles, in in_points and products */
};

struct Layer {
  wz_layer spec;
  int activation; /* LINEAR in the last layer, whose own belongs to the loss */
  bool first;     /* no layer before it has parameters */
  int method;     /* DIRECT, ROWS or SQUARES */
  Layer* pool;    /* an average pool after it that is computed along with it, or null */
  Tensor *in, *out;

  int pixels, inputs, padded_outputs; /* of a layer with parameters: inputs = kernel height * width * channels */
  int32_t *taps, *windows, *places;   /* as in tiles.h; places: of output pixels in `out` */
  float *weights, *bias;              /* in the flat weights: [inputs][outputs], [outputs] */
  float* transposed;                  /* [outputs][inputs]; null in the first */
  bool by_channel;                    /* lanes of sums are outputs, else samples */
  float* sums;                        /* [inputs][padded_outputs] or [inputs][outputs][LANES]; inputs: see method */
  size_t sum_count;
  float* bias_sums; /* [outputs][LANES] */
  float* samples;   /* by channel, the outputs' gradient: [pixels][LANES][padded_outputs] */

  Minimal minimal; /* of ROWS and SQUARES */
};

/* sums[i] = the sum of vectors[i]'s lanes, halves onto halves; vectors: [count][LANES]. */
static void sum_lanes(const float* vectors, int count, float* sums) {
  alignas(64) float block[LANES][LANES];
  const float* rows[LANES];
  for (int i = 0; i < count; i += LANES) {
    for (int r = 0; r < LANES; r++) rows[r] = vectors + (i + r < count ? i + r : count - 1) * LANES;
    transpose_block(rows, block[0], LANES);
    for (int half = LANES / 2; half >= 1; half /= 2)
      for (int lane = 0; lane < half; lane++)
        for (int r = 0; r < LANES; r += WIDTH)
          store(block[lane] + r, load(block[lane] + r) + load(block[lane + half] + r));
    __builtin_memcpy(sums + i, block[0], sizeof(float) * (size_t)(count - i < LANES ? count - i : LANES));
  }
}

/* A group's images, each [h][w][c], and those that the group after it will want. */
struct Images {
  const float *now[LANES], *next[LANES];
};

/* Row y of the images into a tensor; meanwhile the next group's starts on its way from memory. */
static void load_image_row(const Tensor& t, const Images& group, int y) {
  const float* const* images = group.now;
  float* row = t.value + t.at(y, 0);
  const float* rows[LANES];
  int run = t.w * t.c, i = 0;
  for (; i + LANES <= run; i += LANES) {
    for (int s = 0; s < LANES; s++) {
      rows[s] = images[s] + y * run + i;
      __builtin_prefetch(group.next[s] + y * run + i, 0, 2);
    }
    transpose_block(rows, row + i * LANES, LANES);
  }
  for (; i < run; i++)
    for (int s = 0; s < LANES; s++) row[i * LANES + s] = images[s][y * run + i];
}

/* ---- activations ---- */

template <int N>
struct Constant {
  static constexpr int value = N;
};

/* Calls body with the activation as a compile-time constant. */
template <class Body>
WZ_INLINE void with_activation(int activation, Body body) {
  switch (activation) {
    case WZ_TANH: return body(Constant<WZ_TANH>());
    case WZ_RELU: return body(Constant<WZ_RELU>());
    case WZ_SIGMOID: return body(Constant<WZ_SIGMOID>());
    default: return body(Constant<WZ_LINEAR>());
  }
}

/* Four vectors in place. */
template <int ACTIVATION>
WZ_INLINE void activate4(V* x) {
  WZ_UNROLL
  for (int i = 0; i < 4; i++) {
    if (ACTIVATION == WZ_RELU) x[i] = maximum(V{}, x[i]);
    if (ACTIVATION == WZ_SIGMOID) x[i] = splat(0.5f) * x[i];
  }
  if (ACTIVATION == WZ_TANH || ACTIVATION == WZ_SIGMOID) tanh4(x);
  WZ_UNROLL
  for (int i = 0; i < 4 && ACTIVATION == WZ_SIGMOID; i++) x[i] = fma(splat(0.5f), x[i], splat(0.5f));
}

/* The gradient before an activation from the one after it and the activation's value. */
template <int ACTIVATION>
WZ_INLINE V deactivate(V value, V gradient) {
  return ACTIVATION == WZ_TANH      ? gradient * fma(-value, value, splat(1.0f))
         : ACTIVATION == WZ_RELU    ? select((I)(value > V{}), gradient, V{})
         : ACTIVATION == WZ_SIGMOID ? gradient * fma(-value, value, value)
                                    : gradient;
}

/* The gradient of a layer's output pixel, its pool's share of it taken: returns its vectors, to be times *share. */
WZ_INLINE const float* output_gradient(const Layer& l, int y, int x, float* share) {
  if (!l.pool) {
    *share = 1;
    return l.out->gradient + l.out->at(y, x);
  }
  int size = l.pool->spec.stride;
  *share = 1.0f / (float)(size * size);
  return l.pool->out->gradient + l.pool->out->at(y / size, x / size);
}

}  // namespace WZ_NAMESPACE
