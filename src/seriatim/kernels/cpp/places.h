// The largest of some numbers and which of them it was, a byte for each.
#pragma once

#include "product.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using Bytes = ffi::Buffer<ffi::U8>;
using BytesOut = ffi::ResultBuffer<ffi::U8>;
typedef uint8_t ByteVec __attribute__((vector_size(LANES)));

constexpr int32_t NOWHERE = 255;

INLINE IntVec load_places(const uint8_t* p, Index n) {
  ByteVec v = {};
  if (n >= LANES) {
    memcpy(&v, p, LANES);
  } else {
    for (Index i = 0; i < n; i++) v[i] = p[i];
  }
#if LANES == 16  // the compiler would take the bytes one by one
  return (IntVec)_mm512_cvtepu8_epi32((__m128i)v);
#elif LANES == 8 && defined(__AVX2__)
  return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&v)));
#else
  return __builtin_convertvector(v, IntVec);
#endif
}
INLINE void store_places(uint8_t* p, IntVec places, Index n) {
  ByteVec v = __builtin_convertvector(places, ByteVec);
  if (n >= LANES) {
    memcpy(p, &v, LANES);
  } else {
    for (Index i = 0; i < n; i++) p[i] = v[i];
  }
}

// The first of equal numbers counts; NaN counts as larger than any number, so that it passes.
struct Largest {
  Vec value = all(-__builtin_inff());
  IntVec place;

  explicit Largest(Index first) : place(IntVec{} + int32_t(first)) {}

  INLINE void meet(Vec x, Index at) {
    IntVec stays = (value >= x) | (value != value);
    value = select(stays, value, x), place = stays ? place : IntVec{} + int32_t(at);
  }

  // max(value, 0), which came from nowhere unless it is larger than 0.
  INLINE void rectify() {
    place = value > Vec{} ? place : IntVec{} + NOWHERE;
    value = relu(value);
  }
};

}  // namespace
