/*
 * Register tiles: the four loops in which all the time is spent.
 *
 * A tensor is [y][x][channel][LANES]. A window is the part of the input that one output pixel sees; it is given by the
 * offset of its first vector (windows[pixel]) and the offsets of its taps from there (taps[k], k = (ky, kx, channel)).
 * Every output is one chain of fused multiply-adds in the order stated, whatever the tile's size.
 */
#pragma once
#include "simd.h"

namespace WZ_NAMESPACE {

/* Calls body(start, size) for n split into the fewest parts of at most `most`, sizes as equal as can be. */
template <class Body>
WZ_INLINE void split(int n, int most, Body body) {
  int parts = (n + most - 1) / most, start = 0;
  for (int i = 0; i < parts; i++) {
    int size = n / parts + (i < n % parts);
    body(start, size);
    start += size;
  }
}

/*
 * Weighted sums, lanes = samples. out[places[c]][o] = init[o] + sum over k of weights[k][o] * in[windows[c] + taps[k]]
 * for c < COLUMNS, o < OUTPUTS; k ascending. weights: rows of `stride`; init: null for 0.
 */
template <int OUTPUTS, int COLUMNS>
WZ_NOINLINE void sum_tile(int k_count, const int32_t* taps, const float* in, const int32_t* windows, const float* weights,
                     int stride, const float* init, float* out, const int32_t* places) {
  V sums[OUTPUTS][COLUMNS * PARTS];
  const float* columns[COLUMNS];
  WZ_UNROLL
  for (int c = 0; c < COLUMNS; c++) columns[c] = in + windows[c];
  WZ_UNROLL
  for (int o = 0; o < OUTPUTS; o++) {
    V start = init ? splat(init[o]) : V{};
    WZ_UNROLL
    for (int c = 0; c < COLUMNS * PARTS; c++) sums[o][c] = start;
  }
  for (int k = 0; k < k_count; k++, weights += stride) {
    V x[COLUMNS * PARTS];
    WZ_UNROLL
    for (int c = 0; c < COLUMNS * PARTS; c++) x[c] = load(columns[c / PARTS] + taps[k] + c % PARTS * WIDTH);
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
      V w = splat(weights[o]);
      WZ_UNROLL
      for (int c = 0; c < COLUMNS * PARTS; c++) sums[o][c] = fma(w, x[c], sums[o][c]);
    }
  }
  WZ_UNROLL
  for (int c = 0; c < COLUMNS * PARTS; c++) {
    float* p = out + places[c / PARTS] + c % PARTS * WIDTH;
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) store(p + o * LANES, sums[o][c]);
  }
}

template <int OUTPUTS, int COLUMNS, class... Rest>
WZ_INLINE void sum_tile_of(int outputs, Rest... rest) {
  if constexpr (OUTPUTS > 1)
    if (outputs < OUTPUTS) return sum_tile_of<OUTPUTS - 1, COLUMNS>(outputs, rest...);
  sum_tile<OUTPUTS, COLUMNS>(rest...);
}

/* All columns and outputs of a layer; see sum_tile. */
static void weighted_sums(int columns, int outputs, int k_count, const int32_t* taps, const float* in,
                          const int32_t* windows, const float* weights, int stride, const float* init, float* out,
                          const int32_t* places) {
  constexpr int MOST = ACCUMULATORS / PARTS;
  constexpr int WIDE = MOST >= 24 ? 4 : MOST >= 6 ? 2 : 1;
  split(columns, WIDE, [&](int c, int wide) {
    split(outputs, MOST / wide, [&](int o, int count) {
      const float* start = init ? init + o : init;
      float* to = out + o * LANES;
      switch (wide) {
        case 1:
          return sum_tile_of<MOST, 1>(count, k_count, taps, in, windows + c, weights + o, stride, start, to, places + c);
        case 2:
          if constexpr (WIDE >= 2)
            return sum_tile_of<MOST / 2, 2>(count, k_count, taps, in, windows + c, weights + o, stride, start, to,
                                            places + c);
          break;
        case 3:
          if constexpr (WIDE >= 3)
            return sum_tile_of<MOST / 3, 3>(count, k_count, taps, in, windows + c, weights + o, stride, start, to,
                                            places + c);
          break;
        case 4:
          if constexpr (WIDE >= 4)
            return sum_tile_of<MOST / 4, 4>(count, k_count, taps, in, windows + c, weights + o, stride, start, to,
                                            places + c);
          break;
      }
    });
  });
}

/*
 * The gradient of a window, lanes = samples: window[j] += sum over o of weights[o][j] * gradient[o] for j < TAPS
 * consecutive vectors; o ascending. weights: rows of `stride`.
 */
template <int TAPS>
WZ_NOINLINE void spread_tile(int outputs, const float* gradient, const float* weights, int stride, float* window) {
  V sums[TAPS][PARTS];
  WZ_UNROLL
  for (int j = 0; j < TAPS * PARTS; j++) sums[j / PARTS][j % PARTS] = load(window + j * WIDTH);
  for (int o = 0; o < outputs; o++, weights += stride, gradient += LANES) {
    V g[PARTS];
    WZ_UNROLL
    for (int p = 0; p < PARTS; p++) g[p] = load(gradient + p * WIDTH);
    WZ_UNROLL
    for (int j = 0; j < TAPS; j++) {
      V w = splat(weights[j]);
      WZ_UNROLL
      for (int p = 0; p < PARTS; p++) sums[j][p] = fma(w, g[p], sums[j][p]);
    }
  }
  WZ_UNROLL
  for (int j = 0; j < TAPS * PARTS; j++) store(window + j * WIDTH, sums[j / PARTS][j % PARTS]);
}

template <int TAPS, class... Rest>
WZ_INLINE void spread_tile_of(int taps, Rest... rest) {
  if constexpr (TAPS > 1)
    if (taps < TAPS) return spread_tile_of<TAPS - 1>(taps, rest...);
  spread_tile<TAPS>(rest...);
}

/* window[0..taps) += transposed weights times gradient; see spread_tile. */
WZ_INLINE void spread(int taps, int outputs, const float* gradient, const float* weights, int stride, float* window) {
  constexpr int MOST = ACCUMULATORS / PARTS;
  split(taps, MOST, [&](int j, int count) {
    spread_tile_of<MOST>(count, outputs, gradient, weights + j, stride, window + j * LANES);
  });
}

/*
 * Weight gradients, lanes = samples: sums[k][o] += sum over pixels of in[windows[pixel] + taps[k]] *
 * gradient[places[pixel] + o], pixels ascending. sums: rows of `stride` vectors of LANES; one V of each group.
 */
template <int TAPS, int OUTPUTS>
WZ_NOINLINE void product_tile(int pixels, const float* in, const int32_t* windows, const int32_t* taps,
                         const float* gradient, const int32_t* places, float* sums, int stride) {
  V s[TAPS][OUTPUTS];
  int32_t tap[TAPS];
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    tap[k] = taps[k];
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) s[k][o] = load(sums + (k * stride + o) * LANES);
  }
  for (int i = 0; i < pixels; i++) {
    const float *x = in + windows[i], *g = gradient + places[i];
    V y[OUTPUTS];
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) y[o] = load(g + o * LANES);
    WZ_UNROLL
    for (int k = 0; k < TAPS; k++) {
      V v = load(x + tap[k]);
      WZ_UNROLL
      for (int o = 0; o < OUTPUTS; o++) s[k][o] = fma(v, y[o], s[k][o]);
    }
  }
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) store(sums + (k * stride + o) * LANES, s[k][o]);
  }
}

template <int TAPS, int OUTPUTS, class... Rest>
WZ_INLINE void product_tile_of(int taps, int outputs, Rest... rest) {
  if constexpr (TAPS > 1)
    if (taps < TAPS) return product_tile_of<TAPS - 1, OUTPUTS>(taps, outputs, rest...);
  if constexpr (OUTPUTS > 1)
    if (outputs < OUTPUTS) return product_tile_of<TAPS, OUTPUTS - 1>(taps, outputs, rest...);
  product_tile<TAPS, OUTPUTS>(rest...);
}

/* sums: [k_count][outputs][LANES]; see product_tile. */
WZ_INLINE void lane_products(int pixels, int k_count, int outputs, const float* in, const int32_t* windows,
                             const int32_t* taps, const float* gradient, const int32_t* places, float* sums) {
  constexpr int OUTPUTS = ACCUMULATORS >= 12 ? 4 : 2;
  constexpr int TAPS = ACCUMULATORS / OUTPUTS;
  split(outputs, OUTPUTS, [&](int o, int o_count) {
    split(k_count, TAPS, [&](int k, int count) {
      for (int lane = 0; lane < LANES; lane += WIDTH)
        product_tile_of<TAPS, OUTPUTS>(count, o_count, pixels, in + lane, windows, taps + k,
                                       gradient + o * LANES + lane, places,
                                       sums + (k * outputs + o) * LANES + lane, outputs);
    });
  });
}

/*
 * Weight gradients, lanes = outputs: sums[k][o] += sum over pixels and samples of in[windows[pixel] + taps[k]][sample] *
 * gradient[pixel][sample][o]; pixels, then samples ascending. gradient: rows of `stride` floats, sums: `sum_stride`.
 */
template <int TAPS, int VECTORS>
WZ_NOINLINE void channel_tile(int pixels, const float* in, const int32_t* windows, const int32_t* taps,
                         const float* gradient, int stride, float* sums, int sum_stride) {
  V s[TAPS][VECTORS];
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    WZ_UNROLL
    for (int o = 0; o < VECTORS; o++) s[k][o] = load(sums + k * sum_stride + o * WIDTH);
  }
  for (int i = 0; i < pixels; i++) {
    const float* x[TAPS];
    WZ_UNROLL
    for (int k = 0; k < TAPS; k++) x[k] = in + windows[i] + taps[k];
    for (int sample = 0; sample < LANES; sample++, gradient += stride) {
      V y[VECTORS];
      WZ_UNROLL
      for (int o = 0; o < VECTORS; o++) y[o] = load(gradient + o * WIDTH);
      WZ_UNROLL
      for (int k = 0; k < TAPS; k++) {
        V v = splat(x[k][sample]);
        WZ_UNROLL
        for (int o = 0; o < VECTORS; o++) s[k][o] = fma(v, y[o], s[k][o]);
      }
    }
  }
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    WZ_UNROLL
    for (int o = 0; o < VECTORS; o++) store(sums + k * sum_stride + o * WIDTH, s[k][o]);
  }
}

template <int TAPS, int VECTORS, class... Rest>
WZ_INLINE void channel_tile_of(int taps, Rest... rest) {
  if constexpr (TAPS > 1)
    if (taps < TAPS) return channel_tile_of<TAPS - 1, VECTORS>(taps, rest...);
  channel_tile<TAPS, VECTORS>(rest...);
}

/* outputs: a multiple of LANES; gradient: [pixels][LANES][stride]; see channel_tile. */
WZ_INLINE void channel_products(int pixels, int k_count, int outputs, const float* in, const int32_t* windows,
                                const int32_t* taps, const float* gradient, int stride, float* sums, int sum_stride) {
  constexpr int MOST = ACCUMULATORS >= 24 ? 4 : ACCUMULATORS >= 12 ? 3 : 2;
  split(outputs / WIDTH, MOST, [&](int o, int vectors) {
    split(k_count, ACCUMULATORS / vectors, [&](int k, int count) {
      const float* from = gradient + o * WIDTH;
      float* to = sums + k * sum_stride + o * WIDTH;
      switch (vectors) {
        case 1:
          return channel_tile_of<ACCUMULATORS, 1>(count, pixels, in, windows, taps + k, from, stride, to, sum_stride);
        case 2:
          return channel_tile_of<ACCUMULATORS / 2, 2>(count, pixels, in, windows, taps + k, from, stride, to, sum_stride);
        case 3:
          if constexpr (MOST >= 3)
            return channel_tile_of<ACCUMULATORS / 3, 3>(count, pixels, in, windows, taps + k, from, stride, to,
                                                        sum_stride);
          break;
        case 4:
          if constexpr (MOST >= 4)
            return channel_tile_of<ACCUMULATORS / 4, 4>(count, pixels, in, windows, taps + k, from, stride, to,
                                                        sum_stride);
          break;
      }
    });
  });
}

/* rows: [16], each `stride` floats apart, to columns of 16: out[c][r] = in[r][c] for r, c < 16; out rows `out_stride`. */
WZ_INLINE void transpose_block(const float* const* in, float* out, int out_stride) {
  for (int r = 0; r < 16; r += WIDTH)
    for (int c = 0; c < 16; c += WIDTH) {
      V rows[WIDTH];
      WZ_UNROLL
      for (int i = 0; i < WIDTH; i++) rows[i] = load_unaligned(in[r + i] + c);
      transpose(rows);
      WZ_UNROLL
      for (int i = 0; i < WIDTH; i++) store_unaligned(out + (c + i) * out_stride + r, rows[i]);
    }
}

}  // namespace WZ_NAMESPACE
