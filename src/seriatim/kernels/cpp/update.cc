// The optimizer's update of all weights in one call and one pass over memory, in place.
//
// Arguments: whether the step is finite (if not, nothing moves), the numbers of this step, then the gradients, the
// weights, and each kind of slot, as many of each as there are weights. Results: weights and slots.
#include <cmath>

#include "pool.h"

namespace {

constexpr Index PIECE = 8192;  // numbers that one piece moves

// body(array, from, to) over pieces of arrays of these sizes.
template <typename Size, typename Body>
void pieces(ffi::ThreadPool& pool, Index arrays, double cost, const Size& size, const Body& body) {
  Index total = 0, count = 0;
  for (Index i = 0; i < arrays; i++) total += size(i), count += (size(i) + PIECE - 1) / PIECE;
  each(pool, count, cost * total, [&](Index piece) {
    Index i = 0;
    for (Index here; piece >= (here = (size(i) + PIECE - 1) / PIECE); i++) piece -= here;
    Index from = piece * PIECE, to = from + PIECE < size(i) ? from + PIECE : size(i);
    body(i, from, to);
  });
}

// ---- formulas: one weight, its gradient and its slots ----------------------------------------------------

struct Adam {  // m ← m + b1 (g − m), v ← v + b2 (g² − v), w ← w − alpha · m / (√v + epsilon); b = 1 − beta
  static constexpr int slots = 2;
  float alpha, b1, b2, epsilon;
  INLINE void operator()(float g, float& w, float& m, float& v) const {
    m += (g - m) * b1;
    v += (g * g - v) * b2;
    w -= m * alpha / (sqrtf(v) + epsilon);
  }
};

struct Descent {  // w ← w − rate · g
  static constexpr int slots = 0;
  float rate;
  INLINE void operator()(float g, float& w, float&, float&) const { w -= g * rate; }
};

struct Momentum {  // v ← momentum · v − rate · g, w ← w + v
  static constexpr int slots = 1;
  float rate, momentum;
  INLINE void operator()(float g, float& w, float& v, float&) const {
    v = v * momentum - g * rate;
    w += v;
  }
};

struct Nesterov {  // v as above, w ← w + momentum · v − rate · g
  static constexpr int slots = 1;
  float rate, momentum;
  INLINE void operator()(float g, float& w, float& v, float&) const {
    v = v * momentum - g * rate;
    w += v * momentum - g * rate;
  }
};

struct RMSprop {  // v ← rho · v + rest · g², w ← w − rate · g / √(v + epsilon); rest = 1 − rho
  static constexpr int slots = 1;
  float rate, rho, rest, epsilon;
  INLINE void operator()(float g, float& w, float& v, float&) const {
    v = rho * v + rest * (g * g);
    w -= rate * g / sqrtf(v + epsilon);
  }
};

// ---- the pass -------------------------------------------------------------------------------------------

template <typename Formula>
void move(const Formula& formula, float shrink, Index n, const float* __restrict g, const float* w0, float* w,
          const float* m0, float* m, const float* v0, float* v) {
#pragma GCC ivdep
  for (Index i = 0; i < n; i++) {
    float x = w0[i], a = Formula::slots > 0 ? m0[i] : 0, b = Formula::slots > 1 ? v0[i] : 0;
    x -= x * shrink;
    formula(g[i], x, a, b);
    w[i] = x;
    if (Formula::slots > 0) m[i] = a;
    if (Formula::slots > 1) v[i] = b;
  }
}

template <typename Formula>
ffi::Error update(ffi::ThreadPool& pool, const Formula& formula, float rate, ffi::Span<const float> decay,
                  ffi::Buffer<ffi::PRED>& finite, ffi::RemainingArgs& in, ffi::RemainingRets& out) {
  constexpr int slots = Formula::slots;
  Index n = decay.size();
  auto source = [&](int kind, Index i) { return in.get<Floats>(kind * n + i).value().typed_data(); };
  auto target = [&](int kind, Index i) { return out.get<Floats>(kind * n + i).value()->typed_data(); };
  auto size = [&](Index i) { return static_cast<Index>(in.get<Floats>(i).value().element_count()); };
  if (in.size() != (2 + slots) * n || out.size() != (1 + slots) * n)
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, "as many weights and slots as gradients");
  if (!finite.typed_data()[0]) {
    for (int kind = 0; kind <= slots; kind++)
      for (Index i = 0; i < n; i++)
        if (target(kind, i) != source(kind + 1, i))
          memcpy(target(kind, i), source(kind + 1, i), size(i) * sizeof(float));
    return ffi::Error::Success();
  }
  pieces(pool, n, 16, size, [&](Index i, Index from, Index to) {
    const float *m0 = slots > 0 ? source(2, i) + from : nullptr, *v0 = slots > 1 ? source(3, i) + from : nullptr;
    float *m = slots > 0 ? target(1, i) + from : nullptr, *v = slots > 1 ? target(2, i) + from : nullptr;
    move(formula, decay[i] * rate, to - from, source(0, i) + from, source(1, i) + from, target(0, i) + from, m0, m, v0,
         v);
  });
  return ffi::Error::Success();
}

using Span = ffi::Span<const float>;
using Flag = ffi::Buffer<ffi::PRED>;

// numbers: what the step computed (the rate first); settings: what the optimizer was built with.
ffi::Error adam(ffi::ThreadPool pool, Flag finite, Floats numbers, ffi::RemainingArgs in, Span decay, Span settings,
                ffi::RemainingRets out) {
  const float* now = numbers.typed_data();
  return update(pool, Adam{now[1], settings[0], settings[1], settings[2]}, now[0], decay, finite, in, out);
}
ffi::Error sgd(ffi::ThreadPool pool, Flag finite, Floats numbers, ffi::RemainingArgs in, Span decay, Span settings,
               ffi::RemainingRets out) {
  float rate = numbers.typed_data()[0], momentum = settings[0];
  bool nesterov = settings[1] != 0;
  if (momentum == 0) return update(pool, Descent{rate}, rate, decay, finite, in, out);
  if (nesterov) return update(pool, Nesterov{rate, momentum}, rate, decay, finite, in, out);
  return update(pool, Momentum{rate, momentum}, rate, decay, finite, in, out);
}
ffi::Error rmsprop(ffi::ThreadPool pool, Flag finite, Floats numbers, ffi::RemainingArgs in, Span decay, Span settings,
                   ffi::RemainingRets out) {
  float rate = numbers.typed_data()[0];
  return update(pool, RMSprop{rate, settings[0], settings[1], settings[2]}, rate, decay, finite, in, out);
}

// Whether every number of every array is finite: x · 0 is 0, or NaN.
ffi::Error all_finite(ffi::ThreadPool pool, ffi::RemainingArgs in, ffi::ResultBuffer<ffi::PRED> out) {
  std::atomic<bool> good{true};
  auto size = [&](Index i) { return static_cast<Index>(in.get<Floats>(i).value().element_count()); };
  pieces(pool, in.size(), 4, size, [&](Index i, Index from, Index to) {
    const float* x = in.get<Floats>(i).value().typed_data();
    Vec a = {}, b = {};
    Index k = from;
    for (; k + 2 * LANES <= to; k += 2 * LANES) a += load(x + k) * 0.0f, b += load(x + k + LANES) * 0.0f;
    for (; k < to; k += LANES) a += load_some(x + k, to - k) * 0.0f;
    if (!(sum(a + b) == 0)) good = false;
  });
  out->typed_data()[0] = good;
  return ffi::Error::Success();
}

}  // namespace

#define UPDATE(name)            \
  KERNEL(update_##name, name,   \
         ffi::Ffi::Bind()       \
             .Ctx<ffi::ThreadPool>() \
             .Arg<Flag>()       \
             .Arg<Floats>()     \
             .RemainingArgs()   \
             .Attr<Span>("decay") \
             .Attr<Span>("settings") \
             .RemainingRets())
UPDATE(adam);
UPDATE(sgd);
UPDATE(rmsprop);
KERNEL(update_all_finite, all_finite,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().Ret<ffi::Buffer<ffi::PRED>>());
