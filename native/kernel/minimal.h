/*
 * Minimal filtering (Winograd 1980, Toom-Cook): fewer multiplications per convolution with 5 taps and stride 1.
 *
 * A tile of n inputs, as polynomial values at n points, gives n - 4 outputs: out = A'((G weights) * (B' in)). Gradients
 * are the transposes: weights' = G'((B' in) * (A out')), in' = B((G weights) * (A out')). Between the transforms every
 * point ("frequency") is a small convolution or matrix product of its own, done by tiles.h.
 * F(4,5) along x: points 0, 1, -1, 2, -2, 1/2, -1/2, infinity; 8 products for 20. Error 2.5-3.5 times the direct one.
 * F(2x2,5x5): points 0, 1, -1, 2, -2, infinity both ways; 36 products for 100.
 */
#pragma once
#include "direct.h"

namespace WZ_NAMESPACE {

WZ_INLINE V times(float a, V b) { return splat(a) * b; }
WZ_INLINE V add(float a, V b, V c) { return fma(splat(a), b, c); } /* a * b + c */

struct Along4 { /* F(4,5) */
  static constexpr int IN = 8, OUT = 4, TAPS = 5;

  WZ_INLINE void input(const V* d, V* f) { /* B' */
    V even1 = add(-4.25f, d[4], d[2] + d[6]), odd1 = add(-4.25f, d[3], d[1] + d[5]);
    V even2 = add(0.25f, d[2], add(-1.25f, d[4], d[6])), odd2 = add(0.5f, d[1], add(-2.5f, d[3], d[5] + d[5]));
    V even3 = add(4.0f, d[2], add(-5.0f, d[4], d[6])), odd3 = add(2.0f, d[1], add(-2.5f, d[3], times(0.5f, d[5])));
    f[0] = add(5.25f, d[4] - d[2], d[0] - d[6]);
    f[1] = even1 + odd1;
    f[2] = even1 - odd1;
    f[3] = even2 + odd2;
    f[4] = even2 - odd2;
    f[5] = even3 + odd3;
    f[6] = even3 - odd3;
    f[7] = add(5.25f, d[3] - d[5], d[7] - d[1]);
  }
  WZ_INLINE void input_gradient(const V* f, V* d) { /* B */
    V sum1 = f[1] + f[2], sum2 = f[3] + f[4], sum3 = f[5] + f[6];
    V gap1 = f[1] - f[2], gap2 = f[3] - f[4], gap3 = f[5] - f[6];
    d[0] = f[0];
    d[1] = add(0.5f, gap2, add(2.0f, gap3, gap1 - f[7]));
    d[2] = add(-5.25f, f[0], add(0.25f, sum2, add(4.0f, sum3, sum1)));
    d[3] = add(5.25f, f[7], add(-4.25f, gap1, times(-2.5f, gap2 + gap3)));
    d[4] = add(5.25f, f[0], add(-4.25f, sum1, add(-1.25f, sum2, times(-5.0f, sum3))));
    d[5] = add(-5.25f, f[7], add(2.0f, gap2, add(0.5f, gap3, gap1)));
    d[6] = (sum1 + sum2) + (sum3 - f[0]);
    d[7] = f[7];
  }
  WZ_INLINE void output(const V* f, V* y) { /* A' */
    V sum1 = f[1] + f[2], sum2 = f[3] + f[4], sum3 = f[5] + f[6];
    V gap1 = f[1] - f[2], gap2 = f[3] - f[4], gap3 = f[5] - f[6];
    y[0] = (f[0] + sum1) + (sum2 + sum3);
    y[1] = add(2.0f, gap2, add(0.5f, gap3, gap1));
    y[2] = add(4.0f, sum2, add(0.25f, sum3, sum1));
    y[3] = add(8.0f, gap2, add(0.125f, gap3, gap1 + f[7]));
  }
  WZ_INLINE void output_gradient(const V* y, V* f) { /* A */
    V even1 = y[0] + y[2], even2 = add(4.0f, y[2], y[0]), even3 = add(0.25f, y[2], y[0]);
    V odd1 = y[1] + y[3], odd2 = add(8.0f, y[3], y[1] + y[1]), odd3 = add(0.125f, y[3], times(0.5f, y[1]));
    f[0] = y[0];
    f[1] = even1 + odd1;
    f[2] = even1 - odd1;
    f[3] = even2 + odd2;
    f[4] = even2 - odd2;
    f[5] = even3 + odd3;
    f[6] = even3 - odd3;
    f[7] = y[3];
  }
  WZ_INLINE void weights(const V* w, V* f) { /* G */
    V even1 = (w[0] + w[4]) + w[2], odd1 = w[1] + w[3];
    V even2 = add(16.0f, w[4], add(4.0f, w[2], w[0])), odd2 = add(8.0f, w[3], w[1] + w[1]);
    V even3 = add(0.0625f, w[4], add(0.25f, w[2], w[0])), odd3 = add(0.125f, w[3], times(0.5f, w[1]));
    f[0] = w[0];
    f[1] = times(-2.0f / 9, even1 + odd1);
    f[2] = times(-2.0f / 9, even1 - odd1);
    f[3] = times(1.0f / 90, even2 + odd2);
    f[4] = times(1.0f / 90, even2 - odd2);
    f[5] = times(32.0f / 45, even3 + odd3);
    f[6] = times(32.0f / 45, even3 - odd3);
    f[7] = w[4];
  }
  WZ_INLINE void weight_gradient(const V* f, V* w) { /* G' */
    V sum1 = times(-2.0f / 9, f[1] + f[2]), gap1 = times(-2.0f / 9, f[1] - f[2]);
    V sum2 = times(1.0f / 90, f[3] + f[4]), gap2 = times(1.0f / 90, f[3] - f[4]);
    V sum3 = times(32.0f / 45, f[5] + f[6]), gap3 = times(32.0f / 45, f[5] - f[6]);
    w[0] = (f[0] + sum1) + (sum2 + sum3);
    w[1] = add(2.0f, gap2, add(0.5f, gap3, gap1));
    w[2] = add(4.0f, sum2, add(0.25f, sum3, sum1));
    w[3] = add(8.0f, gap2, add(0.125f, gap3, gap1));
    w[4] = add(16.0f, sum2, add(0.0625f, sum3, sum1 + f[7]));
  }
};

struct Along2 { /* F(2,5), used both ways */
  static constexpr int IN = 6, OUT = 2, TAPS = 5;

  WZ_INLINE void input(const V* d, V* f) {
    V even1 = add(-4.0f, d[2], d[4]), odd1 = add(-4.0f, d[1], d[3]), even2 = d[4] - d[2], odd2 = d[3] - d[1];
    f[0] = add(4.0f, d[0], add(-5.0f, d[2], d[4]));
    f[1] = even1 + odd1;
    f[2] = even1 - odd1;
    f[3] = add(2.0f, odd2, even2);
    f[4] = add(-2.0f, odd2, even2);
    f[5] = add(4.0f, d[1], add(-5.0f, d[3], d[5]));
  }
  WZ_INLINE void input_gradient(const V* f, V* d) {
    V sum1 = f[1] + f[2], gap1 = f[1] - f[2], sum2 = f[3] + f[4], gap2 = f[3] - f[4];
    d[0] = times(4.0f, f[0]);
    d[1] = add(4.0f, f[5] - gap1, times(-2.0f, gap2));
    d[2] = add(-5.0f, f[0], add(-4.0f, sum1, -sum2));
    d[3] = add(-5.0f, f[5], add(2.0f, gap2, gap1));
    d[4] = (f[0] + sum1) + sum2;
    d[5] = f[5];
  }
  WZ_INLINE void output(const V* f, V* y) {
    y[0] = f[0] + ((f[1] + f[2]) + (f[3] + f[4]));
    y[1] = add(2.0f, f[3] - f[4], (f[1] - f[2]) + f[5]);
  }
  WZ_INLINE void weights(const V* w, V* f) {
    V even1 = (w[0] + w[4]) + w[2], odd1 = w[1] + w[3];
    V even2 = add(16.0f, w[4], add(4.0f, w[2], w[0])), odd2 = add(8.0f, w[3], w[1] + w[1]);
    f[0] = times(0.25f, w[0]);
    f[1] = times(-1.0f / 6, even1 + odd1);
    f[2] = times(-1.0f / 6, even1 - odd1);
    f[3] = times(1.0f / 24, even2 + odd2);
    f[4] = times(1.0f / 24, even2 - odd2);
    f[5] = w[4];
  }
  WZ_INLINE void weight_gradient(const V* f, V* w) {
    V sum1 = times(-1.0f / 6, f[1] + f[2]), gap1 = times(-1.0f / 6, f[1] - f[2]);
    V sum2 = times(1.0f / 24, f[3] + f[4]), gap2 = times(1.0f / 24, f[3] - f[4]);
    w[0] = add(0.25f, f[0], sum1 + sum2);
    w[1] = add(2.0f, gap2, gap1);
    w[2] = add(4.0f, sum2, sum1);
    w[3] = add(8.0f, gap2, gap1);
    w[4] = add(16.0f, sum2, sum1 + f[5]);
  }
  /* A, for one point: to[i] = left[i] + point * right[i] for rows of `count` floats. */
  static void output_gradient(int point, const float* left, const float* right, float* to, int count) {
    static constexpr float POINT[IN] = {0, 1, -1, 2, -2, 0}; /* the last is infinity */
    if (point == 0 || point == IN - 1) return (void)__builtin_memcpy(to, point ? right : left, (size_t)count * 4);
    V p = splat(POINT[point]);
    for (int i = 0; i < count; i += WIDTH) store(to + i, fma(p, load(right + i), load(left + i)));
  }
};

WZ_INLINE void store_some(float* p, V v, int count) { __builtin_memcpy(p, &v, (size_t)(count < WIDTH ? count : WIDTH) * 4); }

constexpr int POINTS = Along2::IN * Along2::IN;
constexpr int BLOCK = 24;      /* outputs whose products of SQUARES lie together, [point][tile][BLOCK] */
constexpr int CHANNELS = 32;   /* outputs whose gradients are transformed together */
constexpr int BLOCK_TILES = 4, BLOCK_OUTPUTS = 6; /* of ROWS, whose products stay in the first-level cache */
constexpr int SKEW = 5 * LANES; /* keeps the planes of the points off each other's cache sets */

/* Which method fits a layer. */
static int method_of(const wz_layer& l) {
  if (l.kind != WZ_CONV2D || l.kernel_w != 5 || l.stride != 1) return DIRECT;
  bool squares = l.kernel_h == 5 && l.out_h % 2 == 0 && l.out_w % 2 == 0 && l.out_h * l.out_w < LANES;
  return squares ? SQUARES : l.out_w % 4 == 0 ? ROWS : DIRECT;
}

/* Floats from one point's sums of SQUARES to the next. */
WZ_INLINE int sum_plane(const Layer& l) { return l.spec.in_c * l.padded_outputs + SKEW; }

/* Number of sums: [inputs][outputs] of the direct method, or of every point. */
static size_t sums_of(const Layer& l) {
  size_t columns = l.by_channel ? (size_t)l.padded_outputs : (size_t)l.spec.out_c * LANES;
  if (l.method == ROWS) return Along4::IN * l.spec.kernel_h * l.spec.in_c * columns;
  return l.method == SQUARES ? (size_t)POINTS * sum_plane(l) : l.inputs * columns;
}

static void plan_minimal(Layer& l, int slots, Arena& arena) {
  Minimal& m = l.minimal;
  const wz_layer& s = l.spec;
  int in_c = s.in_c, out_c = s.out_c, in_tiles, out_tiles;
  if (l.method == ROWS) {
    m.tiles = s.out_w / 4;
    m.block_tiles = m.tiles % 2 ? 1 : 2;
    m.block_rows = BLOCK_TILES / m.block_tiles;
    m.in_rows = s.in_h < 4 ? s.in_h : 4;
    m.out_rows = s.out_h * m.tiles <= 64 ? s.out_h : m.tiles > 64 ? 1 : 64 / m.tiles;
    in_tiles = l.in->full_h * m.tiles;
    out_tiles = (l.first ? m.out_rows : s.out_h) * m.tiles;
    m.in_plane = in_tiles * in_c * LANES + SKEW;
    m.out_plane = out_tiles * out_c * LANES + SKEW;
    m.product_plane = m.in_rows * m.tiles * in_c * LANES + SKEW; /* at least a block of outputs */
    if (m.product_plane < BLOCK_TILES * BLOCK_OUTPUTS * LANES + SKEW)
      m.product_plane = BLOCK_TILES * BLOCK_OUTPUTS * LANES + SKEW;
    m.filter_plane = m.back_plane = round_up(s.kernel_h * in_c * out_c + LANES, LANES);
    m.filters = arena.take<float>((size_t)Along4::IN * m.filter_plane);
    if (!l.first) m.back_filters = arena.take<float>((size_t)Along4::IN * m.back_plane);
    m.in_points = arena.take<float>((size_t)Along4::IN * m.in_plane);
    m.out_points = arena.take<float>((size_t)Along4::IN * m.out_plane);
    int sums = s.kernel_h * in_c * out_c + LANES; /* collect_rows keeps them there */
    m.products = arena.take<float>((size_t)Along4::IN * (m.product_plane > sums ? m.product_plane : sums));
    m.block_windows = arena.take<int32_t>(BLOCK_TILES);
    m.block_places = arena.take<int32_t>(BLOCK_TILES);
    m.taps = arena.take<int32_t>((size_t)s.kernel_h * in_c);
    m.back_taps = arena.take<int32_t>((size_t)s.kernel_h * out_c);
  } else {
    m.tiles = l.pixels / 4;
    in_tiles = slots * m.tiles;
    out_tiles = m.tiles;
    m.in_plane = in_tiles * in_c * LANES + SKEW;
    m.product_plane = m.tiles * (in_c > BLOCK ? in_c : BLOCK) * LANES + SKEW;
    m.filter_plane = in_c * BLOCK;
    m.back_plane = out_c * round_up(in_c, LANES);
    m.filters = arena.take<float>((size_t)POINTS * m.filter_plane * ((out_c + BLOCK - 1) / BLOCK));
    if (!l.first) m.back_filters = arena.take<float>((size_t)POINTS * m.back_plane);
    m.in_points = arena.take<float>((size_t)POINTS * m.in_plane);
    size_t by_sample = (size_t)(Along2::OUT + 1) * slots * m.tiles * LANES * CHANNELS;
    size_t by_lane = (size_t)(Along2::OUT + 1) * m.tiles * out_c * LANES;
    m.out_points = arena.take<float>(by_sample > by_lane ? by_sample : by_lane);
    m.products = arena.take<float>((size_t)POINTS * m.product_plane);
    m.taps = arena.take<int32_t>((size_t)in_c);
    m.back_taps = arena.take<int32_t>((size_t)out_c);
  }
  m.in_sequence = arena.take<int32_t>((size_t)(in_tiles > out_tiles ? in_tiles : out_tiles));
  m.out_sequence = arena.take<int32_t>((size_t)(in_tiles > out_tiles ? in_tiles : out_tiles));
  if (!arena.block) return;

  for (int i = 0; i < in_tiles || i < out_tiles; i++) {
    m.in_sequence[i] = i * in_c * LANES;
    m.out_sequence[i] = i * out_c * LANES;
  }
  for (int i = 0; l.method == ROWS && i < BLOCK_TILES; i++) {
    m.block_windows[i] = (i / m.block_tiles * m.tiles + i % m.block_tiles) * in_c * LANES;
    m.block_places[i] = i * BLOCK_OUTPUTS * LANES;
  }
  int rows = l.method == ROWS ? s.kernel_h : 1;
  for (int k = 0; k < rows * in_c; k++) m.taps[k] = (k / in_c * m.tiles * in_c + k % in_c) * LANES;
  for (int k = 0; k < rows * out_c; k++) m.back_taps[k] = (-(k / out_c) * m.tiles * out_c + k % out_c) * LANES;
}

/* ---- ROWS: F(4,5) along x ---- */

/* filters: [8][ky][in][out]; back_filters: [8][ky][out][in]. */
static void prepare_rows(const Layer& l) {
  const Minimal& m = l.minimal;
  int in_c = l.spec.in_c, out_c = l.spec.out_c, run = in_c * out_c;
  V w[Along4::TAPS], f[Along4::IN];
  for (int ky = 0; ky < l.spec.kernel_h; ky++) {
    for (int i = 0; i < run; i += WIDTH) {
      for (int k = 0; k < Along4::TAPS; k++) w[k] = load_unaligned(l.weights + (ky * Along4::TAPS + k) * run + i);
      Along4::weights(w, f);
      for (int p = 0; p < Along4::IN; p++) store_unaligned(m.filters + p * m.filter_plane + ky * run + i, f[p]);
    }
    for (int o = 0; o < out_c && !l.first; o++)
      for (int i = 0; i < in_c; i += WIDTH) {
        for (int k = 0; k < Along4::TAPS; k++)
          w[k] = load_unaligned(l.transposed + o * l.inputs + (ky * Along4::TAPS + k) * in_c + i);
        Along4::weights(w, f);
        for (int p = 0; p < Along4::IN; p++)
          store_unaligned(m.back_filters + p * m.back_plane + (ky * out_c + o) * in_c + i, f[p]);
      }
  }
}

/* Input row y to in_points [8][full_h][tile][in][LANES]. */
WZ_NOINLINE void transform_row(const Layer& l, int y) {
  const Minimal& m = l.minimal;
  const Tensor& in = *l.in;
  const int channels = in.c * LANES, plane = m.in_plane;
  for (int tile = 0; tile < m.tiles; tile++) {
    const float* from = in.value + in.at(y, tile * Along4::OUT - in.left);
    float* to = m.in_points + ((y + in.top) * m.tiles + tile) * channels;
    for (int i = 0; i < channels; i += WIDTH) {
      V d[Along4::IN], f[Along4::IN];
      WZ_UNROLL
      for (int x = 0; x < Along4::IN; x++) d[x] = load(from + x * channels + i);
      Along4::input(d, f);
      WZ_UNROLL
      for (int p = 0; p < Along4::IN; p++) store(to + p * plane + i, f[p]);
    }
  }
}

/* products [8][tile][BLOCK_OUTPUTS][LANES] of a block, its outputs from `first` on, to activations. */
template <int ACTIVATION>
WZ_NOINLINE void finish_rows(const Layer& l, int y, int tile, int tiles, int first, int count) {
  const Minimal& m = l.minimal;
  const int channels = l.spec.out_c * LANES, plane = m.product_plane;
  for (int t = 0; t < tiles; t++) {
    const float *from = m.products + m.block_places[t], *biases = l.bias + first;
    float* to = l.out->value + l.out->at(y + t / m.block_tiles, (tile + t % m.block_tiles) * Along4::OUT) + first * LANES;
    for (int i = 0; i < count * LANES; i += WIDTH) {
      V f[Along4::IN], r[Along4::OUT], bias = splat(biases[i / LANES]);
      WZ_UNROLL
      for (int p = 0; p < Along4::IN; p++) f[p] = load(from + p * plane + i);
      Along4::output(f, r);
      WZ_UNROLL
      for (int x = 0; x < Along4::OUT; x++) r[x] += bias;
      activate4<ACTIVATION>(r);
      WZ_UNROLL
      for (int x = 0; x < Along4::OUT; x++) store(to + x * channels + i, r[x]);
    }
  }
}

/* images: of the first layer, which fetches its input row by row; else null. */
static void forward_rows(const Layer& l, const Images* images) {
  const Minimal& m = l.minimal;
  const Tensor &in = *l.in, &out = *l.out;
  for (int y = 0; y < in.h; y++) {
    if (images) load_image_row(in, *images, y);
    transform_row(l, y);
  }
  bool pool_blocks = l.pool && m.block_rows % l.pool->spec.stride == 0 &&
                     m.block_tiles * Along4::OUT % l.pool->spec.stride == 0;
  for (int tile = 0; tile < m.tiles; tile += m.block_tiles)
    for (int y = 0; y < out.h; y += m.block_rows) {
      int rows = out.h - y < m.block_rows ? out.h - y : m.block_rows, tiles = rows * m.block_tiles;
      split(out.c, BLOCK_OUTPUTS, [&](int first, int count) {
        weighted_sums({tiles, count, l.spec.kernel_h * in.c, m.taps, m.block_windows, m.block_places,
                       m.in_points + (y * m.tiles + tile) * in.c * LANES, m.filters + first, nullptr, m.products, out.c,
                       Along4::IN, m.in_plane, m.filter_plane, m.product_plane});
        with_activation(l.activation,
                        [&](auto activation) { finish_rows<activation.value>(l, y, tile, tiles, first, count); });
      });
      if (pool_blocks)
        forward_own_pool(l, {y, tile * Along4::OUT, y + rows, (tile + m.block_tiles) * Along4::OUT});
    }
  if (!pool_blocks) forward_own_pool(l, all_of(out));
}

/* The gradient of output rows y to y + rows, to bias sums and out_points [8][row][tile][out][LANES]. */
template <int ACTIVATION>
WZ_NOINLINE void transform_gradient_rows(const Layer& l, int y, int rows, float* points) {
  const Minimal& m = l.minimal;
  const Tensor& out = *l.out;
  const int channels = out.c * LANES, plane = m.out_plane;
  float* sums = l.bias_sums;
  for (int tile = 0; tile < rows * m.tiles; tile++) {
    int row = y + tile / m.tiles, column = tile % m.tiles * Along4::OUT;
    const float *value = out.value + out.at(row, column), *from[Along4::OUT];
    float share = 1, *to = points + tile * channels;
    for (int x = 0; x < Along4::OUT; x++) from[x] = output_gradient(l, row, column + x, &share);
    for (int i = 0; i < channels; i += WIDTH) {
      V g[Along4::OUT], f[Along4::IN];
      WZ_UNROLL
      for (int x = 0; x < Along4::OUT; x++)
        g[x] = deactivate<ACTIVATION>(load(value + x * channels + i), splat(share) * load(from[x] + i));
      store(sums + i, load(sums + i) + ((g[0] + g[1]) + (g[2] + g[3])));
      Along4::output_gradient(g, f);
      WZ_UNROLL
      for (int p = 0; p < Along4::IN; p++) store(to + p * plane + i, f[p]);
    }
  }
}

/* products [8][y][tile][in][LANES] of input rows y to y + rows, overlapping along x, to the input's gradient. */
WZ_NOINLINE void finish_input_gradient_rows(const Layer& l, int y, int rows) {
  const Minimal& m = l.minimal;
  const Tensor& in = *l.in;
  const int channels = in.c * LANES, tiles = m.tiles, plane = m.product_plane;
  for (int row = 0; row < rows; row++)
    for (int i = 0; i < channels; i += WIDTH) {
      float* to = in.gradient + (y + row) * in.row + i;
      const float* from = m.products + row * tiles * channels + i;
      V carry[Along4::IN - Along4::OUT] = {};
      for (int tile = 0; tile < tiles; tile++, to += Along4::OUT * channels, from += channels) {
        V f[Along4::IN], d[Along4::IN];
        WZ_UNROLL
        for (int p = 0; p < Along4::IN; p++) f[p] = load(from + p * plane);
        Along4::input_gradient(f, d);
        WZ_UNROLL
        for (int x = 0; x < Along4::OUT; x++) {
          store(to + x * channels, d[x] + carry[x]);
          carry[x] = d[x + Along4::OUT];
        }
      }
      for (int x = 0; x < Along4::OUT; x++) store(to + x * channels, carry[x]);
    }
}

static void input_gradient_rows(const Layer& l) {
  const Minimal& m = l.minimal;
  const Tensor& in = *l.in;
  int in_c = l.spec.in_c, out_c = l.spec.out_c, kernel_h = l.spec.kernel_h, rows = m.in_rows;
  int end = in.top + in.h;
  for (int y = in.top; y < end; y += rows) {
    int count = end - y < rows ? end - y : rows;
    for (int row = 0, same; row < count; row += same) {
      /* The kernel's rows that tie this input row, and `same` - 1 after it, to output rows. */
      int first = y + row - (l.out->h - 1), last = y + row;
      same = first > 0 || last < kernel_h - 1 ? 1 : count - row < 1 - first ? count - row : 1 - first;
      first = first > 0 ? first : 0;
      last = last < kernel_h - 1 ? last : kernel_h - 1;
      weighted_sums({same * m.tiles, in_c, (last - first + 1) * out_c, m.back_taps + first * out_c, m.out_sequence,
                     m.in_sequence, m.out_points + (y + row) * m.tiles * out_c * LANES,
                     m.back_filters + first * out_c * in_c, nullptr, m.products + row * m.tiles * in_c * LANES, in_c,
                     Along4::IN, m.out_plane, m.back_plane, m.product_plane});
    }
    finish_input_gradient_rows(l, y, count);
  }
}

static void backward_rows(const Layer& l) {
  const Minimal& m = l.minimal;
  int in_c = l.spec.in_c, out_c = l.spec.out_c, inputs = l.spec.kernel_h * in_c;
  for (int y = 0; y < l.out->h; y += m.out_rows) {
    int rows = l.out->h - y < m.out_rows ? l.out->h - y : m.out_rows;
    float* points = m.out_points + (l.first ? 0 : y) * m.tiles * out_c * LANES; /* all are kept for the input's */
    with_activation(l.activation,
                    [&](auto activation) { transform_gradient_rows<activation.value>(l, y, rows, points); });
    lane_products({rows * m.tiles, inputs, out_c, m.taps, m.in_sequence, m.out_sequence,
                   m.in_points + y * m.tiles * in_c * LANES, points, l.sums, Along4::IN, m.in_plane, m.out_plane,
                   inputs * out_c * LANES});
  }
  if (!l.first) input_gradient_rows(l);
}

static void collect_rows(const Layer& l, float* kernel) {
  int run = l.spec.in_c * l.spec.out_c, rows = l.spec.kernel_h, plane = rows * run;
  float* sums = l.minimal.products;
  for (int p = 0; p < Along4::IN; p++) sum_lanes(l.sums + p * plane * LANES, plane, sums + p * plane);
  for (int ky = 0; ky < rows; ky++)
    for (int i = 0; i < run; i += WIDTH) {
      V f[Along4::IN], w[Along4::TAPS];
      for (int p = 0; p < Along4::IN; p++) f[p] = load_unaligned(sums + p * plane + ky * run + i);
      Along4::weight_gradient(f, w);
      for (int k = 0; k < Along4::TAPS; k++) store_some(kernel + (ky * Along4::TAPS + k) * run + i, w[k], run - i);
    }
}

/* ---- SQUARES: F(2x2,5x5) ---- */

/* to [OUT][OUT] = a transform from IN to OUT values along both ways of from [IN][IN]. */
template <int IN, int OUT, class Transform>
WZ_INLINE void both_ways(const V* from, V* to, Transform transform) {
  V half[IN * OUT];
  WZ_UNROLL
  for (int y = 0; y < IN; y++) transform(from + y * IN, half + y * OUT);
  WZ_UNROLL
  for (int x = 0; x < OUT; x++) {
    V column[IN], result[OUT];
    WZ_UNROLL
    for (int y = 0; y < IN; y++) column[y] = half[y * OUT + x];
    transform(column, result);
    WZ_UNROLL
    for (int y = 0; y < OUT; y++) to[y * OUT + x] = result[y];
  }
}

/* filters: [block of outputs][36][in][BLOCK]; back_filters: [36][out][in, rounded up to LANES]. */
static void prepare_squares(const Layer& l) {
  const Minimal& m = l.minimal;
  int in_c = l.spec.in_c, out_c = l.spec.out_c, padded_in = round_up(in_c, LANES);
  V w[25], f[POINTS];
  for (int c = 0; c < in_c; c++)
    for (int o = 0; o < out_c; o += WIDTH) {
      for (int k = 0; k < 25; k++) w[k] = load_unaligned(l.weights + (k * in_c + c) * out_c + o);
      both_ways<5, 6>(w, f, [](const V* a, V* b) { Along2::weights(a, b); });
      for (int p = 0; p < POINTS; p++)
        for (int j = 0; j < WIDTH && o + j < out_c; j += 4) {
          int block = (o + j) / BLOCK, place = (o + j) % BLOCK;
          __builtin_memcpy(m.filters + ((block * POINTS + p) * in_c + c) * BLOCK + place,
                           reinterpret_cast<const float*>(&f[p]) + j, 16);
        }
    }
  for (int o = 0; o < out_c && !l.first; o++)
    for (int c = 0; c < in_c; c += WIDTH) {
      for (int k = 0; k < 25; k++) w[k] = load_unaligned(l.transposed + o * l.inputs + k * in_c + c);
      both_ways<5, 6>(w, f, [](const V* a, V* b) { Along2::weights(a, b); });
      for (int p = 0; p < POINTS; p++) store(m.back_filters + p * m.back_plane + o * padded_in + c, f[p]);
    }
}

/* Offset of a tile's first input or output pixel, counted in pixels of a row of `width`. */
WZ_INLINE int tile_corner(const Layer& l, int tile, int width) {
  int across = l.spec.out_w / 2;
  return tile / across * 2 * width + tile % across * 2;
}

/* in_points: [36][slot][tile][in][LANES]. */
WZ_NOINLINE void transform_squares(const Layer& l, int slot) {
  const Minimal& m = l.minimal;
  const Tensor& in = *l.in;
  int channels = in.c * LANES;
  for (int tile = 0; tile < m.tiles; tile++) {
    const float* from = in.value + tile_corner(l, tile, in.full_w) * channels;
    float* to = m.in_points + (slot * m.tiles + tile) * channels;
    for (int i = 0; i < channels; i += WIDTH) {
      V d[POINTS], f[POINTS];
      for (int k = 0; k < POINTS; k++) d[k] = load(from + (k / 6 * in.full_w + k % 6) * channels + i);
      both_ways<6, 6>(d, f, [](const V* a, V* b) { Along2::input(a, b); });
      for (int p = 0; p < POINTS; p++) store(to + p * m.in_plane + i, f[p]);
    }
  }
}

template <int ACTIVATION>
WZ_NOINLINE void finish_squares(const Layer& l, int first, int count) {
  const Minimal& m = l.minimal;
  const Tensor& out = *l.out;
  int channels = out.c * LANES;
  for (int tile = 0; tile < m.tiles; tile++) {
    const float* from = m.products + tile * BLOCK * LANES;
    float* to = out.value + out.at(0, 0) + tile_corner(l, tile, out.full_w) * channels + first * LANES;
    for (int i = 0; i < count * LANES; i += WIDTH) {
      V f[POINTS], r[4], bias = splat(l.bias[first + i / LANES]);
      WZ_UNROLL
      for (int p = 0; p < POINTS; p++) f[p] = load(from + p * m.product_plane + i);
      both_ways<6, 2>(f, r, [](const V* a, V* b) { Along2::output(a, b); });
      WZ_UNROLL
      for (int j = 0; j < 4; j++) r[j] += bias;
      activate4<ACTIVATION>(r);
      WZ_UNROLL
      for (int j = 0; j < 4; j++) store(to + (j / 2 * out.full_w + j % 2) * channels + i, r[j]);
    }
  }
}

static void forward_squares(const Layer& l, int slot) {
  const Minimal& m = l.minimal;
  int in_c = l.spec.in_c, out_c = l.spec.out_c;
  transform_squares(l, slot);
  int32_t places[LANES];
  for (int tile = 0; tile < m.tiles; tile++) places[tile] = tile * BLOCK * LANES;
  for (int first = 0; first < out_c; first += BLOCK) {
    int count = out_c - first < BLOCK ? out_c - first : BLOCK;
    weighted_sums({m.tiles, count, in_c, m.taps, m.in_sequence, places,
                   m.in_points + slot * m.tiles * in_c * LANES, m.filters + first / BLOCK * POINTS * m.filter_plane,
                   nullptr, m.products, BLOCK, POINTS, m.in_plane, m.filter_plane, m.product_plane});
    with_activation(l.activation, [&](auto activation) { finish_squares<activation.value>(l, first, count); });
  }
  forward_own_pool(l, all_of(*l.out));
}

WZ_NOINLINE void input_gradient_squares(const Layer& l) {
  const Minimal& m = l.minimal;
  const Tensor &in = *l.in, &out = *l.out;
  int in_c = in.c, out_c = out.c, in_channels = in_c * LANES, out_channels = out_c * LANES;
  int size = m.tiles * out_channels;
  float *left = m.out_points, *right = left + size, *point = right + size;
  for (int py = 0; py < 6; py++) {
    for (int tile = 0; tile < m.tiles; tile++) {
      const float* g = out.gradient + out.at(0, 0) + tile_corner(l, tile, out.full_w) * out_channels;
      const float *below = g + out.row, *next = g + out_channels, *next_below = below + out_channels;
      Along2::output_gradient(py, g, below, left + tile * out_channels, out_channels);
      Along2::output_gradient(py, next, next_below, right + tile * out_channels, out_channels);
    }
    for (int px = 0; px < 6; px++) {
      int p = py * 6 + px;
      Along2::output_gradient(px, left, right, point, size);
      weighted_sums({m.tiles, in_c, out_c, m.back_taps, m.out_sequence, m.in_sequence, point,
                     m.back_filters + p * m.back_plane, nullptr, m.products + p * m.product_plane,
                     round_up(in_c, LANES), 1, 0, 0, 0});
    }
  }
  __builtin_memset(in.gradient, 0, (size_t)in.size() * sizeof(float));
  for (int tile = 0; tile < m.tiles; tile++) {
    float* to = in.gradient + tile_corner(l, tile, in.full_w) * in_channels;
    for (int i = 0; i < in_channels; i += WIDTH) {
      V f[POINTS], d[POINTS];
      for (int p = 0; p < POINTS; p++) f[p] = load(m.products + p * m.product_plane + tile * in_channels + i);
      both_ways<6, 6>(f, d, [](const V* a, V* b) { Along2::input_gradient(a, b); });
      for (int k = 0; k < POINTS; k++) {
        float* at = to + (k / 6 * in.full_w + k % 6) * in_channels + i;
        store(at, load(at) + d[k]);
      }
    }
  }
}

/* Weight gradients from the transforms of all filled slots; lanes = outputs. sums: [36][in][padded_outputs]. */
WZ_NOINLINE void weight_gradient_squares(const Layer& l, int slots) {
  const Minimal& m = l.minimal;
  int in_c = l.spec.in_c, stride = l.padded_outputs, tiles = slots * m.tiles, across = l.spec.out_w / 2;
  for (int first = 0; first < stride; first += CHANNELS) {
    int count = stride - first < CHANNELS ? stride - first : CHANNELS;
    int size = tiles * LANES * CHANNELS;
    float *left = m.out_points, *right = left + size, *point = right + size;
    for (int py = 0; py < 6; py++) {
      for (int t = 0; t < tiles; t++) {
        int tile = t % m.tiles, pixel = tile / across * 2 * l.spec.out_w + tile % across * 2;
        const float* g = l.samples + (t / m.tiles * l.pixels + pixel) * LANES * stride + first;
        int after = LANES * stride, below = l.spec.out_w * after;
        for (int s = 0; s < LANES; s++, g += stride) {
          int to = (t * LANES + s) * CHANNELS;
          Along2::output_gradient(py, g, g + below, left + to, count);
          Along2::output_gradient(py, g + after, g + after + below, right + to, count);
        }
      }
      for (int px = 0; px < 6; px++) {
        int p = py * 6 + px;
        Along2::output_gradient(px, left, right, point, size);
        channel_products(tiles, in_c, count, m.in_points + p * m.in_plane, m.in_sequence, m.taps, point, CHANNELS,
                         l.sums + p * sum_plane(l) + first, stride);
      }
    }
  }
}

static void backward_squares(const Layer& l, int slot, bool flush) {
  output_gradient_direct(l);
  gradient_by_sample(l, l.samples + slot * l.pixels * LANES * l.padded_outputs);
  if (!l.first) input_gradient_squares(l);
  if (flush) weight_gradient_squares(l, slot + 1);
}

static void collect_squares(const Layer& l, float* kernel) {
  int in_c = l.spec.in_c, out_c = l.spec.out_c;
  for (int c = 0; c < in_c; c++)
    for (int o = 0; o < out_c; o += WIDTH) {
      V f[POINTS], w[25];
      for (int p = 0; p < POINTS; p++) f[p] = load(l.sums + p * sum_plane(l) + c * l.padded_outputs + o);
      both_ways<6, 5>(f, w, [](const V* a, V* b) { Along2::weight_gradient(a, b); });
      for (int k = 0; k < 25; k++) store_some(kernel + (k * in_c + c) * out_c + o, w[k], out_c - o);
    }
}

}  // namespace WZ_NAMESPACE
