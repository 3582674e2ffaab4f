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
  float *value, *gradient;

  int size() const { return full_h * full_w * c * LANES; }
  int at(int y, int x) const { return ((y + top) * full_w + x + left) * c * LANES; }
};

enum { DIRECT, ROWS, SQUARES };

/* Scratch of the minimal filtering methods; see minimal.h. */
struct Minimal {
  int tiles, slots;             /* tiles: per row of ROWS, per image of SQUARES */
  int in_plane, out_plane;      /* floats from one point to the next, of in_points and products, out_points */
  int product_plane, filter_plane, back_plane;
  float *filters, *back_filters; /* G weights, for the forward and the backward pass */
  float *in_points, *out_points, *products;
  int32_t *taps, *back_taps;    /* of one point's convolution */
  int32_t *in_sequence, *out_sequence; /* i * channels * LANES */
};

struct Layer {
  wz_layer spec;
  int activation; /* LINEAR in the last layer, whose own belongs to the loss */
  bool first;     /* no layer before it has parameters */
  int method;     /* DIRECT, ROWS or SQUARES */
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

/* Sum of a group's lanes: halves onto halves. */
WZ_INLINE float sum_lanes(const float* p) {
  float t[8];
  for (int i = 0; i < 8; i++) t[i] = p[i] + p[i + 8];
  for (int i = 0; i < 4; i++) t[i] += t[i + 4];
  return (t[0] + t[2]) + (t[1] + t[3]);
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

template <int ACTIVATION>
WZ_INLINE V activate(V x) {
  return ACTIVATION == WZ_TANH      ? tanh(x)
         : ACTIVATION == WZ_RELU    ? maximum(V{}, x)
         : ACTIVATION == WZ_SIGMOID ? sigmoid(x)
                                    : x;
}

/* The gradient before an activation from the one after it and the activation's value. */
template <int ACTIVATION>
WZ_INLINE V deactivate(V value, V gradient) {
  return ACTIVATION == WZ_TANH      ? gradient * fma(-value, value, splat(1.0f))
         : ACTIVATION == WZ_RELU    ? select((I)(value > V{}), gradient, V{})
         : ACTIVATION == WZ_SIGMOID ? gradient * fma(-value, value, value)
                                    : gradient;
}

}  // namespace WZ_NAMESPACE
