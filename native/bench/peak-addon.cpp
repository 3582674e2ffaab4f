// The register-only loops of peak.h for bench/train.mjs: functions that return the floating-point operations done.
#include <node_api.h>

#include "peak.h"

// The same at 128 bit: what a machine could do that WebAssembly has no fused multiply-add for.
__attribute__((target("avx2,fma"))) static double peak_fma128() {
  const int CHAINS = 12, STEPS = 20000;
  __m128 sums[CHAINS], x = _mm_set1_ps(1.0f);
  for (__m128& s : sums) s = x;
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm_fmadd_ps(sums[c], x, x);
    __asm__ volatile("" : "+x"(x));
  }
  for (__m128& s : sums) __asm__ volatile("" : : "x"(s));
  return 2.0 * 4 * CHAINS * STEPS;
}

template <peak_function peak>
static napi_value Run(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_double(env, peak(), &result);
  return result;
}

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"avx512", Run<peak_avx512>}, {"avx2", Run<peak_avx2>}, {"fma128", Run<peak_fma128>}};
  for (const auto& [name, function] : functions) {
    napi_value value;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
    napi_set_named_property(env, exports, name, value);
  }
  return exports;
}
