// WebAssembly's own ceiling, a register-only loop of multiplications and additions; returns the operations done.
#include <wasm_simd128.h>

static float values[4] = {1, 1, 1, 1};

extern "C" double peak() {
  constexpr int CHAINS = 12;
  constexpr int STEPS = 20000;
  const v128_t x = wasm_v128_load(values);
  v128_t sums[CHAINS];
#pragma clang loop unroll(full)
  for (int c = 0; c < CHAINS; c++) sums[c] = x;
  for (int i = 0; i < STEPS; i++) {
#pragma clang loop unroll(full)
    for (int c = 0; c < CHAINS; c++) sums[c] = wasm_f32x4_add(wasm_f32x4_mul(sums[c], x), x);
  }
#pragma clang loop unroll(full)
  for (int c = 1; c < CHAINS; c++) sums[0] = wasm_f32x4_add(sums[0], sums[c]);
  wasm_v128_store(values, wasm_f32x4_min(sums[0], wasm_f32x4_splat(1)));
  return 2.0 * 4 * CHAINS * STEPS;
}
