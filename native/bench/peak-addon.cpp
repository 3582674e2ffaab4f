// The register-only loops of peak.h for bench/train.mjs: functions that return the floating-point operations done.
#include <node_api.h>

#include "peak.h"

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
