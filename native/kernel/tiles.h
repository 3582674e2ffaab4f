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

/* sums[i][j] += a(i) * b(j). The shorter side is held in registers and the other streamed: 4 x 3 + 3 + 1 fit in 16. */
template <int ROWS, int COLUMNS, class A, class B>
WZ_INLINE void multiply_add(V (*sums)[COLUMNS], A a, B b) {
  V held[ROWS < COLUMNS ? ROWS : COLUMNS];
  if constexpr (ROWS < COLUMNS) {
    WZ_UNROLL
    for (int i = 0; i < ROWS; i++) held[i] = a(i);
    WZ_UNROLL
    for (int j = 0; j < COLUMNS; j++) {
      V streamed = b(j);
      WZ_UNROLL
      for (int i = 0; i < ROWS; i++) sums[i][j] = fma(held[i], streamed, sums[i][j]);
    }
  } else {
    WZ_UNROLL
    for (int j = 0; j < COLUMNS; j++) held[j] = b(j);
    WZ_UNROLL
    for (int i = 0; i < ROWS; i++) {
      V streamed = a(i);
      WZ_UNROLL
      for (int j = 0; j < COLUMNS; j++) sums[i][j] = fma(streamed, held[j], sums[i][j]);
    }
  }
}

/* Table of a template's instances for 1, 2, ... arguments, so that sizes known at run time cost one indirect call. */
#define WZ_TABLE(FUNCTION, TYPE)                          \
  template <int OTHER, int... N>                          \
  WZ_INLINE TYPE FUNCTION##_for(int size, Indices<N...>) { \
    static constexpr TYPE table[] = {FUNCTION<N + 1, OTHER>...}; \
    return table[size - 1];                               \
  }

/*
 * Weighted sums, lanes = samples. out[places[c]][o] = init[o] + sum over k of weights[k][o] * in[windows[c] + taps[k]]
 * for c < columns, a multiple of COLUMNS, and o < OUTPUTS; k ascending. weights: rows of `stride`; init: null for 0.
 */
typedef void (*SumTile)(int columns, int k_count, const int32_t* taps, const float* in, const int32_t* windows,
                        const float* weights, int stride, const float* init, float* out, const int32_t* places);

template <int OUTPUTS, int COLUMNS>
WZ_NOINLINE void sum_tile(int columns, int k_count, const int32_t* taps, const float* in, const int32_t* windows,
                          const float* weights, int stride, const float* init, float* out, const int32_t* places) {
  for (; columns > 0; columns -= COLUMNS, windows += COLUMNS, places += COLUMNS) {
    V sums[OUTPUTS][COLUMNS * PARTS];
    const float *column[COLUMNS], *w = weights;
    WZ_UNROLL
    for (int c = 0; c < COLUMNS; c++) column[c] = in + windows[c];
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
      V start = init ? splat(init[o]) : V{};
      WZ_UNROLL
      for (int c = 0; c < COLUMNS * PARTS; c++) sums[o][c] = start;
    }
    for (int k = 0; k < k_count; k++, w += stride) {
      auto x = [&](int c) { return load(column[c / PARTS] + taps[k] + c % PARTS * WIDTH); };
      multiply_add<OUTPUTS, COLUMNS * PARTS>(sums, [&](int o) { return splat(w[o]); }, x);
    }
    WZ_UNROLL
    for (int c = 0; c < COLUMNS * PARTS; c++) {
      float* to = out + places[c / PARTS] + c % PARTS * WIDTH;
      WZ_UNROLL
      for (int o = 0; o < OUTPUTS; o++) store(to + o * LANES, sums[o][c]);
    }
  }
}
WZ_TABLE(sum_tile, SumTile)

/* All columns and outputs; see sum_tile. */
static void weighted_sums(int columns, int outputs, int k_count, const int32_t* taps, const float* in,
                          const int32_t* windows, const float* weights, int stride, const float* init, float* out,
                          const int32_t* places) {
  constexpr int MOST = ACCUMULATORS / PARTS;
  constexpr int WIDE = MOST >= 24 ? 4 : MOST >= 6 ? 2 : 1;
  while (columns > 0) {
    int wide = columns < WIDE ? columns : WIDE, some = columns / wide * wide;
    split(outputs, MOST / wide, [&](int o, int count) {
      SumTile tile;
      if (wide == 4 && WIDE >= 4)
        tile = sum_tile_for<WIDE >= 4 ? 4 : 1>(count, MakeIndices<MOST / (WIDE >= 4 ? 4 : 1)>::list());
      else if (wide == 3 && WIDE >= 3)
        tile = sum_tile_for<WIDE >= 3 ? 3 : 1>(count, MakeIndices<MOST / (WIDE >= 3 ? 3 : 1)>::list());
      else if (wide == 2 && WIDE >= 2)
        tile = sum_tile_for<WIDE >= 2 ? 2 : 1>(count, MakeIndices<MOST / (WIDE >= 2 ? 2 : 1)>::list());
      else
        tile = sum_tile_for<1>(count, MakeIndices<MOST>::list());
      tile(some, k_count, taps, in, windows, weights + o, stride, init ? init + o : init, out + o * LANES, places);
    });
    columns -= some;
    windows += some;
    places += some;
  }
}

/*
 * The gradient of a window, lanes = samples: window[j] += sum over o of weights[o][j] * gradient[o] for j < TAPS
 * consecutive vectors; o ascending. weights: rows of `stride`.
 */
typedef void (*SpreadTile)(int outputs, const float* gradient, const float* weights, int stride, float* window);

template <int TAPS, int>
WZ_NOINLINE void spread_tile(int outputs, const float* gradient, const float* weights, int stride, float* window) {
  V sums[TAPS][PARTS];
  WZ_UNROLL
  for (int j = 0; j < TAPS * PARTS; j++) sums[j / PARTS][j % PARTS] = load(window + j * WIDTH);
  for (int o = 0; o < outputs; o++, weights += stride, gradient += LANES) {
    multiply_add<TAPS, PARTS>(sums, [&](int j) { return splat(weights[j]); },
                              [&](int p) { return load(gradient + p * WIDTH); });
  }
  WZ_UNROLL
  for (int j = 0; j < TAPS * PARTS; j++) store(window + j * WIDTH, sums[j / PARTS][j % PARTS]);
}

WZ_TABLE(spread_tile, SpreadTile)

/* window[0..taps) += transposed weights times gradient; see spread_tile. */
WZ_INLINE void spread(int taps, int outputs, const float* gradient, const float* weights, int stride, float* window) {
  constexpr int MOST = ACCUMULATORS / PARTS;
  split(taps, MOST, [&](int j, int count) {
    spread_tile_for<0>(count, MakeIndices<MOST>::list())(outputs, gradient, weights + j, stride, window + j * LANES);
  });
}

/*
 * Weight gradients, lanes = samples: sums[k][o] += sum over pixels of in[windows[pixel] + taps[k]] *
 * gradient[places[pixel] + o], pixels ascending. sums: rows of `stride` vectors of LANES; one V of each group.
 */
typedef void (*ProductTile)(int pixels, const float* in, const int32_t* windows, const int32_t* taps,
                            const float* gradient, const int32_t* places, float* sums, int stride);

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
    multiply_add<TAPS, OUTPUTS>(s, [&](int k) { return load(x + tap[k]); },
                                [&](int o) { return load(g + o * LANES); });
  }
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    WZ_UNROLL
    for (int o = 0; o < OUTPUTS; o++) store(sums + (k * stride + o) * LANES, s[k][o]);
  }
}

WZ_TABLE(product_tile, ProductTile)

/* sums: [k_count][outputs][LANES]; see product_tile. */
static void lane_products(int pixels, int k_count, int outputs, const float* in, const int32_t* windows,
                          const int32_t* taps, const float* gradient, const int32_t* places, float* sums) {
  constexpr int A = ACCUMULATORS;
  split(outputs, A < 12 ? 2 : outputs % 4 && outputs % 6 == 0 ? 6 : 4, [&](int o, int o_count) {
    split(k_count, A / o_count, [&](int k, int count) {
      ProductTile tile;
      switch (o_count) {
        case 1: tile = product_tile_for<1>(count, MakeIndices<A>::list()); break;
        case 2: tile = product_tile_for<2>(count, MakeIndices<A / 2>::list()); break;
        case 3: tile = product_tile_for<3>(count, MakeIndices<A / 3>::list()); break;
        case 4: tile = product_tile_for<4>(count, MakeIndices<A / 4>::list()); break;
        default: tile = product_tile_for<6>(count, MakeIndices<A / 6>::list()); break;
      }
      for (int lane = 0; lane < LANES; lane += WIDTH)
        tile(pixels, in + lane, windows, taps + k, gradient + o * LANES + lane, places,
             sums + (k * outputs + o) * LANES + lane, outputs);
    });
  });
}

/*
 * Weight gradients, lanes = outputs: sums[k][o] += sum over pixels and samples of in[windows[pixel] + taps[k]][sample] *
 * gradient[pixel][sample][o]; pixels, then samples ascending. gradient: rows of `stride` floats, sums: `sum_stride`.
 */
typedef void (*ChannelTile)(int pixels, const float* in, const int32_t* windows, const int32_t* taps,
                            const float* gradient, int stride, float* sums, int sum_stride);

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
      multiply_add<TAPS, VECTORS>(s, [&](int k) { return splat(x[k][sample]); },
                                  [&](int o) { return load(gradient + o * WIDTH); });
    }
  }
  WZ_UNROLL
  for (int k = 0; k < TAPS; k++) {
    WZ_UNROLL
    for (int o = 0; o < VECTORS; o++) store(sums + k * sum_stride + o * WIDTH, s[k][o]);
  }
}

WZ_TABLE(channel_tile, ChannelTile)

/* outputs: a multiple of LANES; gradient: [pixels][LANES][stride]; see channel_tile. */
WZ_INLINE void channel_products(int pixels, int k_count, int outputs, const float* in, const int32_t* windows,
                                const int32_t* taps, const float* gradient, int stride, float* sums, int sum_stride) {
  constexpr int A = ACCUMULATORS;
  split(outputs / WIDTH, A >= 24 ? 4 : A >= 12 ? 3 : 2, [&](int o, int vectors) {
    split(k_count, A / vectors, [&](int k, int count) {
      ChannelTile tile;
      switch (vectors) {
        case 1: tile = channel_tile_for<1>(count, MakeIndices<A>::list()); break;
        case 2: tile = channel_tile_for<2>(count, MakeIndices<A / 2>::list()); break;
        case 3: tile = channel_tile_for<3>(count, MakeIndices<A / 3>::list()); break;
        default: tile = channel_tile_for<4>(count, MakeIndices<A / 4>::list()); break;
      }
      tile(pixels, in, windows, taps + k, gradient + o * WIDTH, stride, sums + k * sum_stride + o * WIDTH, sum_stride);
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
