/* Built with -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma. */
#if defined(__x86_64__)
#define WZ_NAMESPACE wz_avx512
#define WZ_BACKEND_NAME "avx512"
#define WZ_BACKEND wz_backend_avx512
#define WZ_USE_AVX512 1
#include "network.h"
#endif
