/* tanh, sigmoid, exp and log from IEEE operations alone, so that no platform's libm reaches a weight. */
#pragma once
#include "simd.h"

namespace WZ_NAMESPACE {

struct Fraction {
  V over, under;
};

/* tanh as a fraction x P(x^2) / Q(x^2), minimax on [-8, 8] and constant outside; 1 <= under < 200. NaN stays NaN. */
WZ_INLINE Fraction tanh_fraction(V x) {
  x = minimum(splat(8.0f), maximum(splat(-8.0f), x));
  V u = x * x;
  V p = fma(splat(1.1310250158506006e-5f), u, splat(2.9388305316628443e-3f));
  p = fma(p, u, splat(1.2913644117315775e-1f));
  p = fma(p, u, splat(9.9999936229110666e-1f));
  V q = fma(splat(2.4238490463017521e-7f), u, splat(2.370288440758051e-4f));
  q = fma(q, u, splat(2.3763839229901378e-2f));
  q = fma(q, u, splat(4.6246742903811051e-1f));
  q = fma(q, u, splat(1.0f));
  return {x * p, q};
}

/* tanh of four vectors in place, within 4e-7; they share one division, which costs as much as ten other steps. */
WZ_INLINE void tanh4(V* x) {
  Fraction a = tanh_fraction(x[0]), b = tanh_fraction(x[1]), c = tanh_fraction(x[2]), d = tanh_fraction(x[3]);
  V ab = a.under * b.under, cd = c.under * d.under;
  V one = splat(1.0f) / (ab * cd), one_ab = one * cd, one_cd = one * ab;
  x[0] = a.over * (one_ab * b.under);
  x[1] = b.over * (one_ab * a.under);
  x[2] = c.over * (one_cd * d.under);
  x[3] = d.over * (one_cd * c.under);
}

/* e^x for x <= 0: 2^n times the Taylor series of the rest, |rest| <= ln(2)/2; within 1e-15 relative; 0 below -700. */
WZ_INLINE double exp_negative(double x) {
  if (!(x >= -700)) return x < -700 ? 0 : x;
  int n = (int)(x * 1.4426950408889634 - 0.5);
  double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double s = 1;
  for (int i = 14; i >= 1; i--) s = 1 + s * r / i;
  uint64_t bits = (uint64_t)(1023 + n) << 52;
  double scale;
  __builtin_memcpy(&scale, &bits, 8);
  return s * scale;
}

/* ln(x) for normal x > 0 (infinite and NaN: themselves): exponent * ln(2) + 2 artanh((m - 1) / (m + 1)), m in [2/3, 4/3]; within 1e-15. */
WZ_INLINE double log_positive(double x) {
  if (x - x != 0) return x;
  uint64_t bits;
  __builtin_memcpy(&bits, &x, 8);
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | (1023ull << 52);
  double m;
  __builtin_memcpy(&m, &bits, 8);
  if (m > 4.0 / 3) {
    m *= 0.5;
    exponent++;
  }
  double t = (m - 1) / (m + 1), u = t * t, s = 0;
  for (int i = 23; i >= 1; i -= 2) s = s * u + 1.0 / i;
  return exponent * 0.6931471805599453 + 2 * t * s;
}

}  // namespace WZ_NAMESPACE
