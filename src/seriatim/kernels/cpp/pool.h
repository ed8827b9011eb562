// Work in numbered pieces, on XLA's own threads.
//
// What a piece does depends on its number alone, never on who takes it or how many threads there are: the same
// inputs give the same bits on any machine of the same instruction set. The caller works too and waits only for
// pieces that somebody has already taken, so it cannot wait for itself, also when it is a thread of the pool.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "simd.h"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using FloatsOut = ffi::ResultBuffer<ffi::F32>;

constexpr double WORTH_A_THREAD = 500000;  // floating-point operations: below, waking a thread costs more than it gives

struct Shared {
  std::atomic<Index> next{0}, done{0};
};

// XLA's queue is compiled without the thread sanitizer, which so cannot see that it puts things in order.
#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
char before_and_after;
inline void pass_on() { __tsan_release(&before_and_after); }
inline void take_over() { __tsan_acquire(&before_and_after); }
#else
inline void pass_on() {}
inline void take_over() {}
#endif

// In one copy: the compiler may contract a second one to other roundings.
template <typename Piece>
__attribute__((noinline)) void do_piece(const Piece& piece, Index i) {
  piece(i);
}

// piece(i) for i = 0 … count − 1. `work` is the cost of all of them together, in floating-point operations.
template <typename Piece>
void each(ffi::ThreadPool& pool, Index count, double work, const Piece& piece) {
  take_over();
  Index threads = pool.num_threads();
  if (count < 2 || threads < 2 || work < 2 * WORTH_A_THREAD) {
    for (Index i = 0; i < count; i++) do_piece(piece, i);
    return pass_on();
  }
  auto shared = std::make_shared<Shared>();
  const Piece* body = &piece;  // used only while a piece is left, and so only while we wait here
  auto take = [shared, body, count] {
    for (Index i; (i = shared->next.fetch_add(1)) < count;) {
      do_piece(*body, i);
      shared->done.fetch_add(1, std::memory_order_release);
    }
  };
  Index helpers = count - 1 < threads - 1 ? count - 1 : threads - 1;
  pass_on();
  for (Index i = 0; i < helpers; i++) {
    pool.Schedule([take] {
      take_over();
      take();
    });
  }
  take();
  for (int turns = 0; shared->done.load(std::memory_order_acquire) < count; turns++)
    if (turns > 1000) std::this_thread::yield();
  pass_on();
}

}  // namespace

// A kernel by the name under which Python registers it; `binding` lists what XLA hands over.
#define KERNEL(name, function, binding)                                                       \
  extern "C" __attribute__((visibility("default"))) XLA_FFI_Error* name(XLA_FFI_CallFrame*); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, function, binding)
