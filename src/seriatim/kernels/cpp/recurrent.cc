// Recurrent layers, whole sequences in one call: forward, and the gradients of everything.
//
// x (b, t, f), kernel (f, G·u), recurrent (u, G·u), a bias (G·u) of each or none, first states (b, u), mask (b, t) or
// none. A piece takes some rows of the batch through all steps, so that no thread waits at a step for another. G gates
// of the same LANES units stand side by side (a panel: one tile of sums holds them), packed once a call. Steps come in
// blocks, which fill tiles with rows where a step alone has few, and keep what they pass on in the nearest caches:
// one product of the inputs, then step by step the recurrent product and the gates; backwards step by step the slopes
// and the product with the transposed recurrent kernel, then one product for each of the other gradients.
#include "cells.h"
#include "product.h"

namespace {

using Flags = ffi::Buffer<ffi::PRED>;

constexpr int SUMS = 2 * ROWS;   // vectors in the registers of a tile
constexpr Index DEPTH = 64;      // of the reduction at a time: so much of a panel stays in the nearest cache
constexpr Index AHEAD = 64;      // rows of a block, forward: steps × rows of the piece
constexpr Index BEHIND = 128;    // and backward: each block reads and writes the sums of the weights' gradients once
constexpr Index MOST_ROWS = 64;  // of a piece

template <int V>
constexpr int TALL = SUMS / V < 12 ? SUMS / V : 12;  // rows of a tile of V vectors

thread_local Scratch packed_weights, room_of_piece;

// A stretch of scratch memory, dealt out in cache lines.
struct Room {
  float* at;
  float* floats(Index n) {
    float* here = at;
    at += ceil_div(n, 16) * 16;
    return here;
  }
};

// ---- products -------------------------------------------------------------------------------------------

// body(std::integral_constant<int, rows>), rows ≤ MOST.
template <int MOST, typename Body>
INLINE void with_tile(Index rows, const Body& body) {
  if constexpr (MOST > 1)
    if (rows < MOST) return with_tile<MOST - 1>(rows, body);
  body(std::integral_constant<int, MOST>{});
}

// c[i] = start[i] + Σ_k a[i][k] · b[k], V vectors wide.
template <int R, int V>
INLINE void tile_of_rows(float* c, Index c_step, const float* start, Index start_step, const float* const* a, Index n,
                         const float* b) {
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = load(start + i * start_step + v * LANES);
  for (Index k = 0; k < n; k++, b += V * LANES) {
    Vec right[V];
    for (int v = 0; v < V; v++) right[v] = load(b + v * LANES);
    for (int i = 0; i < R; i++) {
      Vec left = all(a[i][k]);
      for (int v = 0; v < V; v++) sums[i][v] += left * right[v];
    }
  }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) store(c + i * c_step + v * LANES, sums[i][v]);
}

// The same for up to TALL rows; not inlined, so that the tiles of each height are compiled once.
template <int V>
void some_rows(float* c, Index c_step, const float* start, Index start_step, const float* const* a, Index rows,
               Index n, const float* b) {
  with_tile<TALL<V>>(rows, [&](auto r) { tile_of_rows<r, V>(c, c_step, start, start_step, a, n, b); });
}

// c[i] = start + Σ_k row(i)[k] · b[k] for i < rows, or without `start` c[i] += ….
template <int V, typename Row>
INLINE void multiply(float* c, Index c_step, Index rows, const Row& row, Index n, const float* b, const float* start) {
  Index tall = ceil_div(rows, ceil_div(rows, TALL<V>));
  for (Index k = 0; k < n; k += DEPTH) {
    Index deep = smaller(n - k, DEPTH);
    bool fresh = start != nullptr && k == 0;
    for (Index i = 0; i < rows; i += tall) {
      Index here = smaller(rows - i, tall);
      float* to = c + i * c_step;
      const float* a[TALL<V>];
      for (Index r = 0; r < here; r++) a[r] = row(i + r) + k;
      some_rows<V>(to, c_step, fresh ? start : to, fresh ? 0 : c_step, a, here, deep, b + k * V * LANES);
    }
  }
}

// c[i] += Σ_k a[k][i] · b[k] for a whole tile, a and b packed. The first block begins at zero.
template <int V>
INLINE void tile_of_columns(float* c, const float* a, Index n, const float* b, bool first) {
  constexpr int R = TALL<V>;
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = first ? Vec{} : load(c + (i * V + v) * LANES);
  for (Index k = 0; k < n; k++, a += R, b += V * LANES) {
    Vec right[V];
    for (int v = 0; v < V; v++) right[v] = load(b + v * LANES);
    for (int i = 0; i < R; i++) {
      Vec left = all(a[i]);
      for (int v = 0; v < V; v++) sums[i][v] += left * right[v];
    }
  }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) store(c + (i * V + v) * LANES, sums[i][v]);
}

// ---- one call -------------------------------------------------------------------------------------------

// What all pieces of a call read, and how its rows are shared out.
struct Call {
  Index b, t, f, u, pieces, panels, wide;  // wide: u in whole COLUMNS
  bool reverse;
  const float *x, *h0, *c0;
  const bool* mask;

  Call(Floats x, Floats recurrent, Floats h0, Floats c0, Flags mask, bool reverse, Index pieces)
      : b(x.dimensions()[0]), t(x.dimensions()[1]), f(x.dimensions()[2]), u(recurrent.dimensions()[0]),
        pieces(pieces), panels(ceil_div(u, LANES)), wide(ceil_div(u, COLUMNS) * COLUMNS), reverse(reverse),
        x(x.typed_data()), h0(h0.typed_data()), c0(c0.typed_data()),
        mask(mask.element_count() ? mask.typed_data() : nullptr) {}

  Index first_row(Index piece) const { return piece * b / pieces; }
  Index time(Index step) const { return reverse ? t - 1 - step : step; }
  const float* input(Index row, Index step) const { return x + (row * t + time(step)) * f; }
  bool real(Index row, Index step) const { return mask == nullptr || mask[row * t + time(step)]; }
  Index lanes(Index p) const { return smaller(u - p * LANES, LANES); }
  double work(Index gates) const { return 2.0 * b * t * gates * (u * (f + u) + 20 * u); }

  // b rows of u numbers as rows of `wide`, the rest 0.
  void widen(const float* from, Index rows, float* to) const {
    memset(to, 0, rows * wide * sizeof(float));
    for (Index r = 0; r < rows; r++) memcpy(to + r * wide, from + r * u, u * sizeof(float));
  }
  void narrow(const float* from, Index rows, float* to) const {
    for (Index r = 0; r < rows; r++) memcpy(to + r * u, from + r * wide, u * sizeof(float));
  }
};

// Panel p of n rows of w (n, G·u): row k holds the gates of LANES units, one gate after the other.
template <int G>
void pack_gates(const Call& call, const float* w, Index n, Index p, float* to) {
  for (Index k = 0; k < n; k++)
    for (int g = 0; g < G; g++, to += LANES) store(to, load_some(w + (k * G + g) * call.u + p * LANES, call.lanes(p)));
}

// COLUMNS rows of w (n, G·u) from row j, transposed: row (p, g, lane), with 0 beyond w's edges.
template <int G>
void pack_transposed(const Call& call, const float* w, Index n, Index j, float* to) {
  Index step = G * call.u;
  for (Index p = 0; p < call.panels; p++)
    for (int g = 0; g < G; g++, to += LANES * COLUMNS) {
      if (call.lanes(p) < LANES) memset(to, 0, LANES * COLUMNS * sizeof(float));
      transpose(w + j * step + g * call.u + p * LANES, smaller(n - j, COLUMNS), call.lanes(p), step, to, COLUMNS,
                COLUMNS);
    }
}

// ---- forward --------------------------------------------------------------------------------------------

struct Forward {
  const float *kernel, *recurrent, *bias, *recurrent_bias;  // packed
  float *y, *h, *c, *kept;                                  // y, kept: null if nobody wants them
};

template <typename Cell>
void forward_rows(const Call& call, const Forward& of, Index from, Index to) {
  constexpr Index G = Cell::GATES, W = G * LANES, KEPT = Cell::KEPT * LANES;
  Index rows = to - from, size = AHEAD / rows > 1 ? AHEAD / rows : 1, tall = size * rows, u = call.u;
  Room room{room_of_piece.floats(3 * rows * call.wide + (call.panels * tall + rows) * W + 64)};
  float *h = room.floats(rows * call.wide), *next = room.floats(rows * call.wide), *c = room.floats(rows * call.wide);
  float *z = room.floats(call.panels * tall * W), *q = room.floats(rows * W);
  float* kept = of.kept + from * call.t * call.panels * KEPT;
  call.widen(call.h0 + from * u, rows, h);
  memset(next, 0, rows * call.wide * sizeof(float));
  if (Cell::carry) call.widen(call.c0 + from * u, rows, c);
  for (Index begin = 0; begin < call.t; begin += size) {
    Index steps = smaller(size, call.t - begin);
    const float* inputs[AHEAD > MOST_ROWS ? AHEAD : MOST_ROWS];
    for (Index i = 0; i < steps * rows; i++) inputs[i] = call.input(from + i % rows, begin + i / rows);
    for (Index p = 0; p < call.panels; p++)
      multiply<G>(z + p * tall * W, W, steps * rows, [&](Index i) { return inputs[i]; }, call.f,
                  of.kernel + p * call.f * W, of.bias + p * W);
    for (Index step = begin; step < begin + steps; step++) {
      for (Index p = 0; p < call.panels; p++) {
        float* z_here = z + (p * tall + (step - begin) * rows) * W;
        float* q_here = Cell::sums ? z_here : q;
        multiply<G>(q_here, W, rows, [&](Index i) { return h + i * call.wide; }, u, of.recurrent + p * u * W,
                    Cell::sums ? nullptr : of.recurrent_bias + p * W);
        for (Index r = 0; r < rows; r++) {
          Vec z_of[G], q_of[G], keep[Cell::KEPT + 1];
          for (int g = 0; g < G; g++)
            z_of[g] = load(z_here + r * W + g * LANES), q_of[g] = load(q_here + r * W + g * LANES);
          Index at = r * call.wide + p * LANES;
          Vec before = load(h + at), carry = Cell::carry ? load(c + at) : Vec{}, carried = carry;
          Vec now = Cell::step(z_of, q_of, before, carry, keep);
          if (!call.real(from + r, step)) {
            now = before, carry = carried;
            if (Cell::carry) keep[Cell::KEPT - 1] = carry;
          }
          store(next + at, now);
          if (Cell::carry) store(c + at, carry);
          if (of.y) store_some(of.y + ((from + r) * call.t + step) * u + p * LANES, now, call.lanes(p));
          if (of.kept)
            for (int i = 0; i < Cell::KEPT; i++)
              store(kept + ((step * rows + r) * call.panels + p) * KEPT + i * LANES, keep[i]);
        }
      }
      float* last = h;
      h = next, next = last;
    }
  }
  call.narrow(h, rows, of.h + from * u);
  if (Cell::carry) call.narrow(c, rows, of.c + from * u);
}

template <typename Cell>
ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats recurrent, Floats bias, Floats recurrent_bias,
                   Floats h0, Floats c0, Flags mask, bool reverse, Index pieces, FloatsOut y, FloatsOut h, FloatsOut c,
                   FloatsOut kept) {
  constexpr Index G = Cell::GATES, W = G * LANES;
  Call call(x, recurrent, h0, c0, mask, reverse, pieces);
  if (ceil_div(call.b, pieces) > MOST_ROWS) return ffi::Error::InvalidArgument("too many rows in a piece");
  Room room{packed_weights.floats(call.panels * W * (call.f + call.u + 2))};
  float *w = room.floats(call.panels * W * call.f), *r = room.floats(call.panels * W * call.u);
  float *b = room.floats(call.panels * W), *rb = room.floats(call.panels * W);
  each(pool, call.panels, 2.0 * W * call.panels * (call.f + call.u), [&](Index p) {
    pack_gates<G>(call, kernel.typed_data(), call.f, p, w + p * call.f * W);
    pack_gates<G>(call, recurrent.typed_data(), call.u, p, r + p * call.u * W);
    memset(b + p * W, 0, W * sizeof(float));
    memset(rb + p * W, 0, W * sizeof(float));
    if (bias.element_count()) pack_gates<G>(call, bias.typed_data(), 1, p, b + p * W);
    if (recurrent_bias.element_count()) pack_gates<G>(call, recurrent_bias.typed_data(), 1, p, rb + p * W);
  });
  auto wanted = [](FloatsOut& buffer) { return buffer->element_count() ? buffer->typed_data() : nullptr; };
  Forward of{w, r, b, rb, wanted(y), h->typed_data(), c->typed_data(), wanted(kept)};
  each(pool, pieces, call.work(G), [&](Index piece) {
    forward_rows<Cell>(call, of, call.first_row(piece), call.first_row(piece + 1));
  });
  return ffi::Error::Success();
}

// ---- backward -------------------------------------------------------------------------------------------

struct Backward {
  const float *kernel, *recurrent;           // transposed and packed
  const float *y, *kept, *dy, *dh, *dc;      // dy: null if only the last state was an output
  float *dx, *dh0, *dc0;                     // dx: null if nobody wants it
  float* sums;                               // of each piece, panel by panel: rows of f + 1 inputs, then of u + 1 states
};

// Rows of numbers and a 1 (the row of the bias) as tiles of columns: a[tile][k][i], 0 beyond.
template <int R, typename Row>
INLINE void pack_columns(float* a, Index rows, Index n, const Row& row) {
  for (Index k = 0; k < rows; k++) {
    const float* from = row(k);
    for (Index j = 0; j < n; j += R) {
      float* to = a + j * rows + k * R;
      if (j + R <= n) {
        memcpy(to, from + j, R * sizeof(float));
      } else {
        for (Index i = 0; i < R; i++) to[i] = j + i < n ? from[j + i] : j + i == n;
      }
    }
    if (n % R == 0)
      for (Index i = 0; i < R; i++) a[n * rows + k * R + i] = i == 0;
  }
}

// Rows of sums for n numbers and a 1, in whole tiles of R.
INLINE Index rows_of_sums(Index n, Index R) { return (n / R + 1) * R; }

template <typename Cell>
void backward_rows(const Call& call, const Backward& of, Index piece) {
  constexpr Index G = Cell::GATES, W = G * LANES, KEPT = Cell::KEPT * LANES;
  constexpr int R = TALL<G>;
  Index from = call.first_row(piece), rows = call.first_row(piece + 1) - from, u = call.u, f = call.f;
  Index size = BEHIND / rows > 1 ? BEHIND / rows : 1, tall = smaller(size, call.t) * rows;
  Index of_x = rows_of_sums(f, R), of_h = rows_of_sums(u, R);
  Room room{room_of_piece.floats(2 * rows * call.wide + 2 * call.panels * tall * W + tall * (of_x + of_h + COLUMNS) +
                                 COLUMNS + 160)};
  float *dh = room.floats(rows * call.wide), *dc = room.floats(rows * call.wide);
  float *dz = room.floats(call.panels * tall * W), *dq = Cell::sums ? dz : room.floats(call.panels * tall * W);
  float *inputs = room.floats(tall * of_x), *states = room.floats(tall * of_h), *dx = room.floats(tall * COLUMNS);
  float* zeros = room.floats(COLUMNS);
  memset(zeros, 0, COLUMNS * sizeof(float));
  float* sums = of.sums + piece * call.panels * (of_x + of_h) * W;
  const float* kept = of.kept + from * call.t * call.panels * KEPT;
  auto state = [&](Index r, Index step) {  // before this step
    return step ? of.y + ((from + r) * call.t + step - 1) * u : call.h0 + (from + r) * u;
  };
  call.widen(of.dh + from * u, rows, dh);
  if (Cell::carry) call.widen(of.dc + from * u, rows, dc);
  for (Index end = call.t; end > 0; end -= smaller(size, end)) {
    Index steps = smaller(size, end), begin = end - steps, count = steps * rows;
    for (Index step = end - 1; step >= begin; step--) {
      Index k = (step - begin) * rows;
      for (Index r = 0; r < rows; r++) {
        bool real = call.real(from + r, step);
        for (Index p = 0; p < call.panels; p++) {
          Index at = r * call.wide + p * LANES, have = call.lanes(p), to = (p * tall + k + r) * W;
          const float* keep = kept + ((step * rows + r) * call.panels + p) * KEPT;
          Vec kept_of[Cell::KEPT + 1], dz_of[G] = {}, dq_of[G] = {};
          for (int i = 0; i < Cell::KEPT; i++) kept_of[i] = load(keep + i * LANES);
          Vec d = load(dh + at), d_carry = Cell::carry ? load(dc + at) : Vec{};
          if (of.dy) d += load_some(of.dy + ((from + r) * call.t + step) * u + p * LANES, have);
          if (real) {
            Vec before = load_some(state(r, step) + p * LANES, have);
            Vec after = load_some(state(r, step + 1) + p * LANES, have);
            Vec carry = {};
            if (Cell::carry)
              carry = step ? load(keep - rows * call.panels * KEPT + KEPT - LANES)
                           : load_some(call.c0 + (from + r) * u + p * LANES, have);
            d = Cell::pull(kept_of, before, after, carry, d, d_carry, dz_of, dq_of);
          }
          for (int g = 0; g < G; g++) {
            store(dz + to + g * LANES, dz_of[g]);
            if (!Cell::sums) store(dq + to + g * LANES, dq_of[g]);
          }
          store(dh + at, d);
          if (Cell::carry) store(dc + at, d_carry);
        }
      }
      for (Index j = 0; j < u; j += COLUMNS)
        for (Index p = 0; p < call.panels; p++)
          multiply<2>(dh + j, call.wide, rows, [&](Index i) { return dq + (p * tall + k + i) * W; }, W,
                      of.recurrent + (j / COLUMNS * call.panels + p) * W * COLUMNS, nullptr);
    }
    pack_columns<R>(inputs, count, f, [&](Index k) { return call.input(from + k % rows, begin + k / rows); });
    pack_columns<R>(states, count, u, [&](Index k) { return state(k % rows, begin + k / rows); });
    for (Index p = 0; p < call.panels; p++) {
      float* here = sums + p * (of_x + of_h) * W;
      for (Index i = 0; i < of_x; i += R)
        tile_of_columns<G>(here + i * W, inputs + i * count, count, dz + p * tall * W, end == call.t);
      for (Index i = 0; i < of_h; i += R)
        tile_of_columns<G>(here + (of_x + i) * W, states + i * count, count, dq + p * tall * W, end == call.t);
    }
    if (of.dx)
      for (Index j = 0; j < f; j += COLUMNS) {
        for (Index p = 0; p < call.panels; p++)
          multiply<2>(dx, COLUMNS, count, [&](Index i) { return dz + (p * tall + i) * W; }, W,
                      of.kernel + (j / COLUMNS * call.panels + p) * W * COLUMNS, p ? nullptr : zeros);
        for (Index k = 0; k < count; k++)
          memcpy(of.dx + (call.input(from + k % rows, begin + k / rows) - call.x) + j, dx + k * COLUMNS,
                 smaller(f - j, COLUMNS) * sizeof(float));
      }
  }
  call.narrow(dh, rows, of.dh0 + from * u);
  if (Cell::carry) call.narrow(dc, rows, of.dc0 + from * u);
}

template <typename Cell>
ffi::Error backward(ffi::ThreadPool pool, Flags mask, Floats x, Floats kernel, Floats recurrent, Floats h0, Floats c0,
                    Floats y, Floats kept, Floats dy, Floats dh, Floats dc, bool reverse, Index pieces, FloatsOut dx,
                    FloatsOut d_kernel, FloatsOut d_recurrent, FloatsOut d_bias, FloatsOut d_recurrent_bias,
                    FloatsOut dh0, FloatsOut dc0, FloatsOut sums) {
  constexpr Index G = Cell::GATES, W = G * LANES;
  constexpr int R = TALL<G>;
  Call call(x, recurrent, h0, c0, mask, reverse, pieces);
  bool want_dx = dx->element_count() > 0;
  Index size = call.panels * W * COLUMNS, of_f = want_dx ? ceil_div(call.f, COLUMNS) : 0, of_u = call.wide / COLUMNS;
  float* packed = packed_weights.floats(size * (of_f + of_u));
  each(pool, of_f + of_u, 4.0 * size * (of_f + of_u), [&](Index j) {
    if (j < of_f)
      pack_transposed<G>(call, kernel.typed_data(), call.f, j * COLUMNS, packed + j * size);
    else
      pack_transposed<G>(call, recurrent.typed_data(), call.u, (j - of_f) * COLUMNS, packed + j * size);
  });
  Backward of{packed, packed + of_f * size, y.typed_data(), kept.typed_data(),
              dy.element_count() ? dy.typed_data() : nullptr, dh.typed_data(), dc.typed_data(),
              want_dx ? dx->typed_data() : nullptr, dh0->typed_data(), dc0->typed_data(), sums->typed_data()};
  each(pool, pieces, 2 * call.work(G), [&](Index piece) { backward_rows<Cell>(call, of, piece); });

  Index of_x = rows_of_sums(call.f, R), of_h = rows_of_sums(call.u, R);
  Index one = (of_x + of_h) * W, all_panels = one * call.panels;
  each(pool, call.panels, 1.0 * pieces * all_panels, [&](Index p) {
    auto add_up = [&](Index row, Index n, float* to) {  // n rows of the sums of all pieces, in the order of the pieces
      for (Index i = 0; i < n; i++)
        for (int g = 0; g < G; g++) {
          Vec total = {};
          for (Index piece = 0; piece < pieces; piece++)
            total += load(of.sums + piece * all_panels + p * one + (row + i) * W + g * LANES);
          store_some(to + (i * G + g) * call.u + p * LANES, total, call.lanes(p));
        }
    };
    add_up(0, call.f, d_kernel->typed_data());
    add_up(of_x, call.u, d_recurrent->typed_data());
    if (d_bias->element_count()) add_up(call.f, 1, d_bias->typed_data());
    if (d_recurrent_bias->element_count()) add_up(of_x + call.u, 1, d_recurrent_bias->typed_data());
  });
  return ffi::Error::Success();
}

}  // namespace

#define SEVEN(Type) .Type<Floats>().Type<Floats>().Type<Floats>().Type<Floats>().Type<Floats>().Type<Floats>().Type<Floats>()
#define FORWARD                                                                                \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() SEVEN(Arg).Arg<Flags>().Attr<bool>("reverse")        \
      .Attr<Index>("pieces").Ret<Floats>().Ret<Floats>().Ret<Floats>().Ret<Floats>()
#define BACKWARD                                                                               \
  ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Flags>() SEVEN(Arg).Arg<Floats>().Arg<Floats>()  \
      .Arg<Floats>().Attr<bool>("reverse").Attr<Index>("pieces") SEVEN(Ret).Ret<Floats>()

KERNEL(lstm_forward, forward<Lstm>, FORWARD);
KERNEL(lstm_backward, backward<Lstm>, BACKWARD);
KERNEL(gru_forward, forward<Gru>, FORWARD);
KERNEL(gru_backward, backward<Gru>, BACKWARD);
KERNEL(simple_forward, forward<Simple>, FORWARD);
KERNEL(simple_backward, backward<Simple>, BACKWARD);
