/*
 * The native vector V of an instruction set and the few operations on it that are no C++ operators.
 * Included by one translation unit per instruction set, which names its WZ_NAMESPACE.
 *
 * LANES = 16 samples are one group everywhere; V holds WIDTH of them and a group is PARTS vectors. Width changes how
 * many registers a group takes, never an order of additions.
 */
#pragma once
#include <stdint.h>

#if defined(__AVX2__) || defined(__AVX512F__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#if defined(__clang__)
#define WZ_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WZ_UNROLL _Pragma("GCC unroll 32")
#endif
#define WZ_NOINLINE static __attribute__((noinline)) /* so that a profile shows it */
#define WZ_INLINE static inline __attribute__((always_inline))

namespace WZ_NAMESPACE {

constexpr int LANES = 16;

/* ACCUMULATORS: vectors that a tile may keep in registers, leaving room for its operands. */
#if WZ_USE_AVX512
constexpr int WIDTH = 16, ACCUMULATORS = 24;
#elif WZ_USE_AVX2
constexpr int WIDTH = 8, ACCUMULATORS = 12;
#elif defined(__aarch64__)
constexpr int WIDTH = 4, ACCUMULATORS = 24;
#else
constexpr int WIDTH = 4, ACCUMULATORS = 8;
#endif
constexpr int PARTS = LANES / WIDTH;

typedef float V __attribute__((vector_size(WIDTH * 4), may_alias));
typedef int32_t I __attribute__((vector_size(WIDTH * 4), may_alias));

/*
 * The same value, which the compiler believes to be new. For WebAssembly only: clang folds a constant offset from such
 * a pointer into the load, and without it rewrites loops so that every load needs an addition.
 */
template <class T>
WZ_INLINE T own_register(T value) {
#if defined(__wasm_simd128__)
  __asm__("" : "+r"(value));
#endif
  return value;
}

/* Aligned to the vector. */
WZ_INLINE V load(const float* p) { return *reinterpret_cast<const V*>(p); }
WZ_INLINE void store(float* p, V v) { *reinterpret_cast<V*>(p) = v; }
WZ_INLINE V load_unaligned(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
WZ_INLINE void store_unaligned(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
WZ_INLINE V splat(float x) { return x - V{}; }
/* Lane-wise choice by a mask of all ones or all zeros, as comparisons give it. */
WZ_INLINE V select(I mask, V yes, V no) { return (V)((mask & (I)yes) | (~mask & (I)no)); }

#if WZ_USE_AVX512
WZ_INLINE V fma(V a, V b, V c) { return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
WZ_INLINE V square_root(V a) { return (V)_mm512_sqrt_ps((__m512)a); }
WZ_INLINE V minimum(V a, V b) { return (V)_mm512_min_ps((__m512)a, (__m512)b); }
WZ_INLINE V maximum(V a, V b) { return (V)_mm512_max_ps((__m512)a, (__m512)b); }
#elif WZ_USE_AVX2
WZ_INLINE V fma(V a, V b, V c) { return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
WZ_INLINE V square_root(V a) { return (V)_mm256_sqrt_ps((__m256)a); }
WZ_INLINE V minimum(V a, V b) { return (V)_mm256_min_ps((__m256)a, (__m256)b); }
WZ_INLINE V maximum(V a, V b) { return (V)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__aarch64__)
WZ_INLINE V fma(V a, V b, V c) { return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
WZ_INLINE V square_root(V a) { return (V)vsqrtq_f32((float32x4_t)a); }
WZ_INLINE V minimum(V a, V b) { return select((I)(a < b), a, b); }
WZ_INLINE V maximum(V a, V b) { return select((I)(a > b), a, b); }
#elif defined(__wasm_simd128__)
#if defined(__wasm_relaxed_simd__)
WZ_INLINE V fma(V a, V b, V c) { return (V)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c); }
#else
WZ_INLINE V fma(V a, V b, V c) { return a * b + c; }
#endif
WZ_INLINE V square_root(V a) { return (V)wasm_f32x4_sqrt((v128_t)a); }
WZ_INLINE V minimum(V a, V b) { return (V)wasm_f32x4_pmin((v128_t)b, (v128_t)a); }
WZ_INLINE V maximum(V a, V b) { return (V)wasm_f32x4_pmax((v128_t)b, (v128_t)a); }
#else
/*
 * a * b + c, rounded once. The product is exact in float64; the sum is rounded to odd there (Boldo & Melquiond 2008),
 * so that rounding it again to float32 gives the fused result.
 */
WZ_INLINE float fma_scalar(float a, float b, float c) {
  double product = (double)a * b, addend = c, sum = product + addend;
  double back = sum - product;
  double error = (product - (sum - back)) + (addend - back);
  int64_t bits;
  __builtin_memcpy(&bits, &sum, 8);
  if (error != 0 && (bits & 1) == 0 && sum - sum == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -1;
    __builtin_memcpy(&sum, &bits, 8);
  }
  return (float)sum;
}
WZ_INLINE V fma(V a, V b, V c) {
  V r;
  for (int i = 0; i < WIDTH; i++) r[i] = fma_scalar(a[i], b[i], c[i]);
  return r;
}
WZ_INLINE V square_root(V a) {
  V r;
  for (int i = 0; i < WIDTH; i++) r[i] = __builtin_sqrtf(a[i]);
  return r;
}
WZ_INLINE V minimum(V a, V b) { return select((I)(a < b), a, b); }
WZ_INLINE V maximum(V a, V b) { return select((I)(a > b), a, b); }
#endif

/* Flushes subnormal numbers to zero while it lives. */
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() : saved(_mm_getcsr()) { _mm_setcsr(saved | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(saved); }

 private:
  unsigned saved;
#elif defined(__aarch64__)
  FlushSubnormals() {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    mode = saved | (1ull << 24);
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
  }
  ~FlushSubnormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }

 private:
  uint64_t saved;
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif
};

template <int... N>
struct Indices {};
template <int COUNT, int... N>
struct MakeIndices : MakeIndices<COUNT - 1, COUNT - 1, N...> {};
template <int... N>
struct MakeIndices<0, N...> {
  typedef Indices<N...> list;
};

/* The two halves of exchanging lanes whose index has bit D with the partner register's lanes that have not. */
template <int D, int... N>
WZ_INLINE V exchange_low(V a, V b, Indices<N...>) {
  return __builtin_shufflevector(a, b, ((N & D) == 0 ? N : WIDTH + N - D)...);
}
template <int D, int... N>
WZ_INLINE V exchange_high(V a, V b, Indices<N...>) {
  return __builtin_shufflevector(a, b, ((N & D) == 0 ? N + D : WIDTH + N)...);
}
template <int D>
WZ_INLINE void exchange(V* rows) {
  typename MakeIndices<WIDTH>::list lanes;
  WZ_UNROLL
  for (int i = 0; i < WIDTH; i++)
    if ((i & D) == 0) {
      V a = rows[i], b = rows[i + D];
      rows[i] = exchange_low<D>(a, b, lanes);
      rows[i + D] = exchange_high<D>(a, b, lanes);
    }
}
/* rows: [WIDTH] vectors, transposed in place. */
WZ_INLINE void transpose(V* rows) {
  if constexpr (WIDTH > 8) exchange<8>(rows);
  if constexpr (WIDTH > 4) exchange<4>(rows);
  exchange<2>(rows);
  exchange<1>(rows);
}

}  // namespace WZ_NAMESPACE
