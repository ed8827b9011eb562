// Vectors of floats as wide as the machine has them, and the few things we do with them.
//
// One source for every level of the instruction set: the compiler's vector types become AVX-512, AVX2, SSE or NEON
// as it is asked to. Everything lies in an unnamed namespace, so that no level's code can be linked into another's.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else  // GCC 11 does not know the other name
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, IntVec{__VA_ARGS__})
#endif

namespace {

using Index = int64_t;

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef float LooseVec __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int32_t IntVec __attribute__((vector_size(LANES * 4)));

INLINE Vec load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
INLINE void store(float* p, Vec v) { *reinterpret_cast<LooseVec*>(p) = v; }
INLINE Vec all(float x) { return x - Vec{}; }
INLINE Vec select(IntVec where, Vec yes, Vec no) { return where ? yes : no; }

// The first n lanes, n ≥ 0; the others are 0 when loaded and stay as they are when stored.
INLINE Vec load_some(const float* p, Index n) {
  if (n >= LANES) return load(p);
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps((1u << n) - 1, p);
#else
  Vec v = {};
  for (Index i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
INLINE void store_some(float* p, Vec v, Index n) {
  if (n >= LANES) return store(p, v);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (1u << n) - 1, (__m512)v);
#else
  for (Index i = 0; i < n; i++) p[i] = v[i];
#endif
}

// Halves are added to each other until one number is left.
INLINE float sum(Vec v) {
  float part[LANES];
  memcpy(part, &v, sizeof(v));
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
}

// max(x, 0), which leaves NaN as it is: a run that diverges must not look healthy.
INLINE Vec relu(Vec x) { return select(x < Vec{}, Vec{}, x); }

// A stretch of memory that a thread keeps and uses again; it only grows. Aligned to a cache line.
class Scratch {
 public:
  float* floats(Index n) {
    if (n > room_) {
      free(data_);
      room_ = n + n / 4 + 1024;
      data_ = static_cast<float*>(aligned_alloc(64, (room_ * sizeof(float) + 63) / 64 * 64));
    }
    return data_;
  }
  ~Scratch() { free(data_); }

 private:
  float* data_ = nullptr;
  Index room_ = 0;
};

// n rows of m floats (at most LANES of each, `from` floats apart) written as m columns of LANES floats (`to` floats
// apart), 0 beyond n.
// A shuffle of pairs, log2(LANES) times over, is a transpose: Batcher's perfect shuffle (1968; Stone 1971).
INLINE void transpose_block(const float* rows, Index n, Index m, Index from, float* columns, Index to) {
  Vec a[LANES], b[LANES];
  for (int i = 0; i < LANES; i++) a[i] = i < n ? load_some(rows + i * from, m) : Vec{};
#if LANES == 16
#define LOW(x, y) SHUFFLE(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(x, y) SHUFFLE(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define LOW(x, y) SHUFFLE(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(x, y) SHUFFLE(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define LOW(x, y) SHUFFLE(x, y, 0, 4, 1, 5)
#define HIGH(x, y) SHUFFLE(x, y, 2, 6, 3, 7)
#endif
  for (int span = 1; span < LANES; span *= 2) {
    for (int i = 0; i < LANES / 2; i++) {
      b[2 * i] = LOW(a[i], a[i + LANES / 2]);
      b[2 * i + 1] = HIGH(a[i], a[i + LANES / 2]);
    }
    for (int i = 0; i < LANES; i++) a[i] = b[i];
  }
#undef LOW
#undef HIGH
  for (int i = 0; i < LANES && i < m; i++) store(columns + i * to, a[i]);
}

// columns[j][i] = rows[i][j] for i < n, j < m, with 0 in the columns' places n to `fill`, a multiple of LANES.
inline void transpose(const float* rows, Index n, Index m, Index from, float* columns, Index to, Index fill) {
  for (Index i = 0; i < fill; i += LANES)
    for (Index j = 0; j < m; j += LANES)
      transpose_block(rows + i * from + j, n - i, m - j, from, columns + j * to + i, to);
}

}  // namespace
