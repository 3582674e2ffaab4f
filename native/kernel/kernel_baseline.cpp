/* NEON on arm64, SIMD128 in WebAssembly, elsewhere plain C++ with exact fused multiply-adds. */
#define WZ_NAMESPACE wz_baseline
#if defined(__aarch64__)
#define WZ_BACKEND_NAME "neon"
#elif defined(__wasm_simd128__)
#define WZ_BACKEND_NAME "simd128"
#else
#define WZ_BACKEND_NAME "baseline"
#endif
#define WZ_BACKEND wz_backend_baseline
#include "network.h"
