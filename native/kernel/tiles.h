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
 * Calls step() count times, for loops whose steps are a handful of vector operations. V8 adds a stack check and reloads
 * what it could not keep in registers to every round, so for WebAssembly a round has many steps. An exit stands between
 * any two: without it V8 mixes the steps and runs out of registers.
 */
template <class Step>
WZ_INLINE void repeat(int count, Step step) {
#if defined(__wasm_simd128__)
  while (count > 0) {
    WZ_UNROLL
    for (int i = 0; i < 8; i++) {
      step();
      if (--count == 0) return;
      count = own_register(count);
    }
  }
#else
  for (int i = 0; i < count; i++) step();
#endif
}

/* As split, for neighbours of the same size at once: body(start, size, how many). */
template <class Body>
WZ_INLINE void split_alike(int n, int most, Body body) {
  int parts = (n + most - 1) / most, size = n / parts, larger = n - parts * size;
  if (larger) body(0, size + 1, larger);
  body(larger * (size + 1), size, parts - larger);
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
 * for c < columns and o < outputs; k ascending. weights: rows of `stride`; init: null for 0.
 * The same again for each of `points`, whose in, weights and out are so many floats apart.
 */
struct Sums {
  int columns, outputs, inputs;
  const int32_t *taps, *windows, *places;
  const float *in, *weights, *init;
  float* out;
  int stride;
  int points, in_plane, weight_plane, out_plane;
};
typedef void (*SumTile)(const Sums& s, int point, int points, int column, int columns, int output, int tiles);

/* Points and columns (a multiple of COLUMNS) from the first ones given on, and `tiles` times OUTPUTS outputs. */
template <int OUTPUTS, int COLUMNS>
WZ_NOINLINE void sum_tile(const Sums& given, int point, int points, int column, int columns, int first, int tiles) {
  const Sums s = given; /* a copy that no store can change */
  const int inputs = s.inputs, stride = s.stride;
  const int32_t *windows = s.windows + column, *places = s.places + column;
  for (const int end = point + points; point < end; point++)
    for (int output = first; output < first + tiles * OUTPUTS; output += OUTPUTS) {
      const float *plane = s.in + point * s.in_plane, *weights = s.weights + point * s.weight_plane + output;
      float* out = s.out + point * s.out_plane + output * LANES;
      for (int at = 0; at < columns; at += COLUMNS) {
        const float *in[COLUMNS], *w = weights;
        const int32_t* tap = s.taps;
        float* to[COLUMNS];
        V sums[OUTPUTS][COLUMNS * PARTS];
        WZ_UNROLL
        for (int c = 0; c < COLUMNS; c++) {
          in[c] = plane + windows[at + c];
          to[c] = out + places[at + c];
        }
        WZ_UNROLL
        for (int o = 0; o < OUTPUTS; o++) {
          V start = s.init ? splat(s.init[output + o]) : V{};
          WZ_UNROLL
          for (int c = 0; c < COLUMNS * PARTS; c++) sums[o][c] = start;
        }
        repeat(inputs, [&] {
          const float *x[COLUMNS], *own_w = own_register(w);
          WZ_UNROLL
          for (int c = 0; c < COLUMNS; c++) x[c] = own_register(in[c] + *tap);
          multiply_add<OUTPUTS, COLUMNS * PARTS>(
              sums, [&](int o) { return splat(own_w[o]); },
              [&](int c) { return load(x[c / PARTS] + c % PARTS * WIDTH); });
          tap++;
          w = own_w + stride;
        });
        WZ_UNROLL
        for (int c = 0; c < COLUMNS * PARTS; c++) {
          WZ_UNROLL
          for (int o = 0; o < OUTPUTS; o++) store(to[c / PARTS] + o * LANES + c % PARTS * WIDTH, sums[o][c]);
        }
      }
    }
}
WZ_TABLE(sum_tile, SumTile)

static void weighted_sums(const Sums& s) {
  constexpr int MOST = ACCUMULATORS / PARTS;
  constexpr int WIDE = MOST >= 24 ? 4 : MOST >= 6 ? 2 : 1;
  /* One point after the other, so that its numbers stay in the first-level cache; in one go if one kind of tile does. */
  int widest = s.columns < WIDE ? s.columns : WIDE, most = MOST / widest;
  bool alike = s.columns % widest == 0 && (s.outputs <= most || s.outputs % most == 0);
  int together = alike ? s.points : 1;
  for (int point = 0; point < s.points; point += together)
    for (int column = 0, some; column < s.columns; column += some) {
      int rest = s.columns - column, wide = rest < WIDE ? rest : WIDE;
      some = rest / wide * wide;
      split_alike(s.outputs, MOST / wide, [&](int output, int count, int tiles) {
        SumTile tile;
        if (wide == 4 && WIDE >= 4)
          tile = sum_tile_for<WIDE >= 4 ? 4 : 1>(count, MakeIndices<MOST / (WIDE >= 4 ? 4 : 1)>::list());
        else if (wide == 3 && WIDE >= 3)
          tile = sum_tile_for<WIDE >= 3 ? 3 : 1>(count, MakeIndices<MOST / (WIDE >= 3 ? 3 : 1)>::list());
        else if (wide == 2 && WIDE >= 2)
          tile = sum_tile_for<WIDE >= 2 ? 2 : 1>(count, MakeIndices<MOST / (WIDE >= 2 ? 2 : 1)>::list());
        else
          tile = sum_tile_for<1>(count, MakeIndices<MOST>::list());
        tile(s, point, together, column, some, output, tiles);
      });
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
  repeat(outputs, [&] {
    const float *w = own_register(weights), *g = own_register(gradient);
    multiply_add<TAPS, PARTS>(sums, [&](int j) { return splat(w[j]); }, [&](int p) { return load(g + p * WIDTH); });
    weights = w + stride;
    gradient = g + LANES;
  });
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
 * gradient[places[pixel] + o], pixels ascending. sums: [inputs][outputs][LANES].
 * The same again for each of `points`, whose in, gradient and sums are so many floats apart.
 */
struct Products {
  int pixels, inputs, outputs;
  const int32_t *taps, *windows, *places;
  const float *in, *gradient;
  float* sums;
  int points, in_plane, gradient_plane, sum_plane;
};
typedef void (*ProductTile)(const Products& p, int point, int input, int tiles, int output);

/* `tiles` times TAPS inputs from `input` on, OUTPUTS outputs from `output` on. */
template <int TAPS, int OUTPUTS>
WZ_NOINLINE void product_tile(const Products& given, int point, int input, int tiles, int output) {
  const Products p = given; /* a copy that no store can change */
  for (const int end = input + tiles * TAPS; input < end; input += TAPS)
    for (int lane = 0; lane < LANES; lane += WIDTH) {
      const float *in[TAPS], *gradient = p.gradient + point * p.gradient_plane + output * LANES + lane;
      float* sums = p.sums + point * p.sum_plane + (input * p.outputs + output) * LANES + lane;
      V s[TAPS][OUTPUTS];
      WZ_UNROLL
      for (int k = 0; k < TAPS; k++) {
        in[k] = p.in + point * p.in_plane + p.taps[input + k] + lane;
        WZ_UNROLL
        for (int o = 0; o < OUTPUTS; o++) s[k][o] = load(sums + (k * p.outputs + o) * LANES);
      }
      const int32_t *windows = p.windows, *places = p.places;
      repeat(p.pixels, [&] {
        const int x = *windows++;
        const float* g = own_register(gradient + *places++);
        multiply_add<TAPS, OUTPUTS>(
            s, [&](int k) { return load(in[k] + x); }, [&](int o) { return load(g + o * LANES); });
      });
      WZ_UNROLL
      for (int k = 0; k < TAPS; k++) {
        WZ_UNROLL
        for (int o = 0; o < OUTPUTS; o++) store(sums + (k * p.outputs + o) * LANES, s[k][o]);
      }
    }
}
WZ_TABLE(product_tile, ProductTile)

static void lane_products(const Products& p) {
  constexpr int A = ACCUMULATORS;
  for (int point = 0; point < p.points; point++)
    split(p.outputs, A < 12 ? 2 : p.outputs % 4 && p.outputs % 6 == 0 ? 6 : 4, [&](int output, int outputs) {
      split_alike(p.inputs, A / outputs, [&](int input, int count, int tiles) {
        ProductTile tile;
        switch (outputs) {
          case 1: tile = product_tile_for<1>(count, MakeIndices<A>::list()); break;
          case 2: tile = product_tile_for<2>(count, MakeIndices<A / 2>::list()); break;
          case 3: tile = product_tile_for<3>(count, MakeIndices<A / 3>::list()); break;
          case 4: tile = product_tile_for<4>(count, MakeIndices<A / 4>::list()); break;
          default: tile = product_tile_for<6>(count, MakeIndices<A / 6>::list()); break;
        }
        tile(p, point, input, tiles, output);
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
    repeat(LANES, [&] {
      const float* g = own_register(gradient);
      multiply_add<TAPS, VECTORS>(s, [&](int k) { return splat(*x[k]++); }, [&](int o) { return load(g + o * WIDTH); });
      gradient = g + stride;
    });
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
