/* Built with -mavx2 -mfma. */
#if defined(__x86_64__)
#define WZ_NAMESPACE wz_avx2
#define WZ_BACKEND_NAME "avx2"
#define WZ_BACKEND wz_backend_avx2
#define WZ_USE_AVX2 1
#include "network.h"
#endif
