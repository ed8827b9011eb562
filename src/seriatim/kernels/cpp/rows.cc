// Rows of a table by their numbers: a batch out of the data, vectors out of an embedding, and its gradient.
//
// Numbers are as in NumPy: a negative one counts from the end. One that is out of range yields NaN, and no gradient.
#include <cmath>

#include "pool.h"

namespace {

using Ids = ffi::Buffer<ffi::S32>;

constexpr Index ROWS_A_PIECE = 64;
constexpr Index RANGES = 8;  // of the table, each with its own piece of the gradient

INLINE Index place(int32_t id, Index rows) { return id < 0 ? id + rows : id; }

// y[i] = table[ids[i]], for numbers of any type.
ffi::Error take(ffi::ThreadPool pool, ffi::AnyBuffer table, Ids ids, ffi::Result<ffi::AnyBuffer> y) {
  Index rows = table.dimensions()[0], n = ids.element_count();
  if (n == 0 || rows == 0) return ffi::Error::Success();
  Index bytes = table.size_bytes() / rows;
  const char* from = static_cast<const char*>(table.untyped_data());
  char* to = static_cast<char*>(y->untyped_data());
  bool floats = table.element_type() == ffi::F32;
  const int32_t* id = ids.typed_data();
  each(pool, (n + ROWS_A_PIECE - 1) / ROWS_A_PIECE, 0.2 * n * bytes, [&](Index piece) {
    for (Index i = piece * ROWS_A_PIECE; i < n && i < (piece + 1) * ROWS_A_PIECE; i++) {
      Index row = place(id[i], rows);
      if (row >= 0 && row < rows) {
        memcpy(to + i * bytes, from + row * bytes, bytes);
      } else if (floats) {
        for (Index k = 0; k < bytes / 4; k++) reinterpret_cast<float*>(to + i * bytes)[k] = NAN;
      } else {
        memset(to + i * bytes, 0, bytes);
      }
    }
  });
  return ffi::Error::Success();
}

// Numbers of 64 bits as numbers of 32.
template <typename Wide, typename Narrow>
INLINE void narrow(const void* from, void* to, Index n) {
  for (Index k = 0; k < n; k++) static_cast<Narrow*>(to)[k] = static_cast<Narrow>(static_cast<const Wide*>(from)[k]);
}

// y[i] = rows[ids[i]], where the rows lie in memory that is not XLA's, at the address in two words; `wide` rows hold
// numbers twice as wide as those of y.
ffi::Error fetch(ffi::ThreadPool pool, ffi::Buffer<ffi::U32> address, Ids ids, int64_t rows, bool wide,
                 ffi::Result<ffi::AnyBuffer> y) {
  Index n = ids.element_count();
  if (n == 0) return ffi::Error::Success();
  const uint32_t* words = address.typed_data();
  const char* from = reinterpret_cast<const char*>(static_cast<uintptr_t>(words[0] | uint64_t{words[1]} << 32));
  char* to = static_cast<char*>(y->untyped_data());
  Index bytes = y->size_bytes() / n, step = wide ? 2 * bytes : bytes;
  bool floats = y->element_type() == ffi::F32;
  const int32_t* id = ids.typed_data();
  for (Index i = 0; i < n; i++)
    if (id[i] < 0 || id[i] >= rows) return ffi::Error(ffi::ErrorCode::kOutOfRange, "there is no such row");
  each(pool, (n + ROWS_A_PIECE - 1) / ROWS_A_PIECE, 0.2 * n * bytes, [&](Index piece) {
    for (Index i = piece * ROWS_A_PIECE; i < n && i < (piece + 1) * ROWS_A_PIECE; i++) {
      const char* row = from + id[i] * step;
      if (!wide)
        memcpy(to + i * bytes, row, bytes);
      else if (floats)
        narrow<double, float>(row, to + i * bytes, bytes / 4);
      else
        narrow<int64_t, int32_t>(row, to + i * bytes, bytes / 4);
    }
  });
  return ffi::Error::Success();
}

// table[ids[i]] += dy[i], from 0, in the order of i.
ffi::Error add(ffi::ThreadPool pool, Ids ids, Floats dy, FloatsOut table) {
  Index rows = table->dimensions()[0], n = ids.element_count();
  if (rows == 0) return ffi::Error::Success();
  Index width = table->element_count() / rows;
  const int32_t* id = ids.typed_data();
  const float* from = dy.typed_data();
  float* to = table->typed_data();
  each(pool, RANGES, 0.5 * (rows + 2 * n) * width, [&](Index piece) {
    Index first = rows * piece / RANGES, end = rows * (piece + 1) / RANGES;
    memset(to + first * width, 0, (end - first) * width * sizeof(float));
    for (Index i = 0; i < n; i++) {
      Index row = place(id[i], rows);
      if (row < first || row >= end) continue;
      float* sum = to + row * width;
      const float* x = from + i * width;
      Index k = 0;
      for (; k + LANES <= width; k += LANES) store(sum + k, load(sum + k) + load(x + k));
      for (; k < width; k++) sum[k] += x[k];
    }
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(rows_take, take,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Arg<Ids>().Ret<ffi::AnyBuffer>());
KERNEL(rows_add, add, ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Ids>().Arg<Floats>().Ret<Floats>());
KERNEL(rows_fetch, fetch,
       ffi::Ffi::Bind()
           .Ctx<ffi::ThreadPool>()
           .Arg<ffi::Buffer<ffi::U32>>()
           .Arg<Ids>()
           .Attr<int64_t>("rows")
           .Attr<bool>("wide")
           .Ret<ffi::AnyBuffer>());
