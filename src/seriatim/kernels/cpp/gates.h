// tanh and sigmoid of vectors, in registers.
//
// tanh x ≈ x · P(x²) / Q(x²), both of degree 4, on |x| ≤ 9, beyond which tanh is 1 in float32. The coefficients are
// our own: a fit of the relative error by least squares, weighted again and again until its peaks are even (Lawson
// 1961); 2e-8 in exact numbers, 3e-7 in float32. At 9.4 the quotient is above 1 however it is rounded. NaN passes.
#pragma once

#include "simd.h"

namespace {

INLINE Vec clamp(Vec x, float most) {
  Vec bound = all(most);
  x = select(x > bound, bound, x);
  return select(x < -bound, -bound, x);
}

INLINE Vec tanh(Vec x) {
  x = clamp(x, 9.4f);
  Vec s = x * x;
  Vec p = s * 1.3354744865523571e-08f + 2.060914812318515e-05f;
  Vec q = s * 7.776594088682032e-07f + 0.0003285641723778099f;
  p = p * s + 0.0034955923911184072f;
  q = q * s + 0.025876998901367188f;
  p = p * s + 0.13381029665470123f;
  q = q * s + 0.4671434462070465f;
  p = p * s + 1.0f;
  q = q * s + 1.0f;
  return clamp(x * p / q, 1.0f);
}

INLINE Vec sigmoid(Vec x) { return tanh(x * 0.5f) * 0.5f + 0.5f; }

}  // namespace
