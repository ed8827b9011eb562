// Dropout: y = x · scale where the word of a place is below a threshold, 0 elsewhere. The words are those of
// `layers/noise.py`: two rounds of a permutation of 32 bits, keyed by two words.
#include "pool.h"

namespace {

typedef uint32_t Words __attribute__((vector_size(LANES * 4)));

constexpr Index PIECE = 8192;

INLINE Words mix(Words word) {
  word = (word ^ (word >> 16)) * 0x21F0AAADu;
  word = (word ^ (word >> 15)) * 0xD35A2D97u;
  return word ^ (word >> 15);
}

ffi::Error drop(ffi::ThreadPool pool, Floats x, ffi::Buffer<ffi::U32> key, int64_t threshold, float scale,
                FloatsOut y) {
  Index n = x.element_count();
  const float* from = x.typed_data();
  float* to = y->typed_data();
  uint32_t first = key.typed_data()[0], second = key.typed_data()[1];
  Words limit = static_cast<uint32_t>(threshold) - Words{}, steps;
  for (int i = 0; i < LANES; i++) steps[i] = i;
  each(pool, (n + PIECE - 1) / PIECE, 2.0 * n, [&](Index piece) {
    Index end = piece * PIECE + PIECE < n ? piece * PIECE + PIECE : n;
    for (Index i = piece * PIECE; i < end; i += LANES) {
      Words word = mix(mix((static_cast<uint32_t>(i) + steps) ^ first) ^ second);
      store_some(to + i, select(word < limit, load_some(from + i, end - i) * scale, Vec{}), end - i);
    }
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(noise_drop, drop,
       ffi::Ffi::Bind()
           .Ctx<ffi::ThreadPool>()
           .Arg<Floats>()
           .Arg<ffi::Buffer<ffi::U32>>()
           .Attr<int64_t>("threshold")
           .Attr<float>("scale")
           .Ret<Floats>());
