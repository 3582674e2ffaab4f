/* Register-only loops of independent fused multiply-adds; they return the floating-point operations done. */
#pragma once
#include <immintrin.h>
typedef double (*peak_function)();

__attribute__((target("avx512f"))) inline double peak_avx512() {
  const int CHAINS = 16, STEPS = 20000;
  __m512 sums[CHAINS], x = _mm512_set1_ps(1.0f);
  for (__m512& s : sums) __asm__ volatile("" : "=v"(s) : "0"(x)); /* all the same, which the compiler must not see */
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_fmadd_ps(sums[c], x, x);
    __asm__ volatile("" : "+v"(x));
  }
  for (__m512& s : sums) __asm__ volatile("" : : "v"(s));
  return 2.0 * 16 * CHAINS * STEPS;
}

__attribute__((target("avx2,fma"))) inline double peak_avx2() {
  const int CHAINS = 12, STEPS = 20000;
  __m256 sums[CHAINS], x = _mm256_set1_ps(1.0f);
  for (__m256& s : sums) __asm__ volatile("" : "=x"(s) : "0"(x));
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_fmadd_ps(sums[c], x, x);
    __asm__ volatile("" : "+x"(x));
  }
  for (__m256& s : sums) __asm__ volatile("" : : "x"(s));
  return 2.0 * 8 * CHAINS * STEPS;
}

/* At 128 bit: what a machine could do that WebAssembly has no fused multiply-add for. */
__attribute__((target("avx2,fma"))) inline double peak_fma128() {
  const int CHAINS = 12, STEPS = 20000;
  __m128 sums[CHAINS], x = _mm_set1_ps(1.0f);
  for (__m128& s : sums) __asm__ volatile("" : "=x"(s) : "0"(x));
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm_fmadd_ps(sums[c], x, x);
    __asm__ volatile("" : "+x"(x));
  }
  for (__m128& s : sums) __asm__ volatile("" : : "x"(s));
  return 2.0 * 4 * CHAINS * STEPS;
}
