// The cells: what one step does to LANES units of one row, and its gradient.
//
// A step gets z = x · kernel + bias and q = h · recurrent_kernel + recurrent_bias, a vector of each gate (where only
// their sum counts, `sums`, z is that sum and q the same). It keeps `KEPT` vectors. `pull` gets them and gives dz, dq
// (the same, if sums), the gradient of the state that does not pass through the product, and leaves that of the carry.
#pragma once

#include "gates.h"

namespace {

struct Simple {  // h' = tanh(z + q)
  static constexpr int GATES = 1, KEPT = 0;
  static constexpr bool sums = true, carry = false;

  INLINE static Vec step(const Vec* z, const Vec*, Vec, Vec&, Vec*) { return tanh(z[0]); }

  INLINE static Vec pull(const Vec*, Vec, Vec after, Vec, Vec dh, Vec&, Vec* dz, Vec*) {
    dz[0] = dh * (1 - after * after);
    return Vec{};
  }
};

struct Lstm {  // c' = f·c + i·g, h' = o·tanh(c'); the carry c' is the last vector kept
  static constexpr int GATES = 4, KEPT = 5;
  static constexpr bool sums = true, carry = true;

  INLINE static Vec step(const Vec* z, const Vec*, Vec, Vec& c, Vec* kept) {
    Vec i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh(z[2]), o = sigmoid(z[3]);
    c = f * c + i * g;
    kept[0] = i, kept[1] = f, kept[2] = g, kept[3] = o, kept[4] = c;
    return o * tanh(c);
  }

  INLINE static Vec pull(const Vec* kept, Vec, Vec, Vec c, Vec dh, Vec& dc, Vec* dz, Vec*) {
    Vec i = kept[0], f = kept[1], g = kept[2], o = kept[3], out = tanh(kept[4]);
    dc += dh * o * (1 - out * out);
    dz[0] = dc * g * i * (1 - i);
    dz[1] = dc * c * f * (1 - f);
    dz[2] = dc * i * (1 - g * g);
    dz[3] = dh * out * o * (1 - o);
    dc = dc * f;
    return Vec{};
  }
};

struct Gru {  // h' = u·h + (1 − u)·c, c = tanh(z_c + r·q_c), u and r the sigmoids of z + q
  static constexpr int GATES = 3, KEPT = 4;
  static constexpr bool sums = false, carry = false;

  INLINE static Vec step(const Vec* z, const Vec* q, Vec h, Vec&, Vec* kept) {
    Vec u = sigmoid(z[0] + q[0]), r = sigmoid(z[1] + q[1]), c = tanh(z[2] + r * q[2]);
    kept[0] = u, kept[1] = r, kept[2] = c, kept[3] = q[2];
    return u * h + (1 - u) * c;
  }

  INLINE static Vec pull(const Vec* kept, Vec h, Vec, Vec, Vec dh, Vec&, Vec* dz, Vec* dq) {
    Vec u = kept[0], r = kept[1], c = kept[2], q = kept[3];
    Vec dc = dh * (1 - u) * (1 - c * c);
    dz[0] = dq[0] = dh * (h - c) * u * (1 - u);
    dz[1] = dq[1] = dc * q * r * (1 - r);
    dz[2] = dc;
    dq[2] = dc * r;
    return dh * u;
  }
};

}  // namespace
