// The one product that everything here is made of: a small tile of C, kept in registers, += A · B.
//
// B is read as rows of COLUMNS floats. A is read in one of two ways: by rows (forward, input gradient: each row of the
// tile has its own address, so a row may be a pixel of an image) or by columns (weight gradient: the reduction runs
// over rows of the batch, or over pixels). Goto & van de Geijn 2008 is the plan; the addresses are ours.
#pragma once

#include "pool.h"

namespace {

#if LANES == 16
constexpr int ROWS = 12;  // 24 sums, 2 of B and 1 of A: 27 of 32 registers
#elif LANES == 8
constexpr int ROWS = 6;  // 12 sums, 2 of B and 1 of A: 15 of 16
#else
constexpr int ROWS = 4;
#endif
constexpr int COLUMNS = 2 * LANES;

struct Tile {
  Vec at[ROWS][2];
};

// c[i] += Σ_k a[i][k] · b[k], for R rows and V vectors of columns.
template <int R, int V>
INLINE void add_rows(Tile& c, const float* const* a, Index n, const float* b, Index b_step) {
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = c.at[i][v];
  for (Index k = 0; k < n; k++, b += b_step) {
    Vec row[V];
    for (int v = 0; v < V; v++) row[v] = load(b + v * LANES);
    for (int i = 0; i < R; i++) {
      Vec x = all(a[i][k]);
      for (int v = 0; v < V; v++) sums[i][v] += x * row[v];
    }
  }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) c.at[i][v] = sums[i][v];
}

// c[i] += Σ_k a[k · a_step + i] · b[k], for R rows and V vectors of columns.
template <int R, int V>
INLINE void add_columns(Tile& c, const float* a, Index a_step, Index n, const float* b, Index b_step) {
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = c.at[i][v];
  for (Index k = 0; k < n; k++, a += a_step, b += b_step) {
    Vec row[V];
    for (int v = 0; v < V; v++) row[v] = load(b + v * LANES);
    for (int i = 0; i < R; i++) {
      Vec x = all(a[i]);
      for (int v = 0; v < V; v++) sums[i][v] += x * row[v];
    }
  }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) c.at[i][v] = sums[i][v];
}

// body(R, V) as constants: R the rows that are left, 1 … ROWS; V the vectors that n columns take, 1 or 2.
template <typename Body>
INLINE void with_tile(Index rows, Index n, const Body& body) {
#define CASE(R)                                                                            \
  case R: {                                                                                \
    std::integral_constant<int, R <= ROWS ? R : ROWS> r;                                   \
    return n > LANES ? body(r, std::integral_constant<int, 2>{}) : body(r, std::integral_constant<int, 1>{}); \
  }
  switch (rows < ROWS ? rows : ROWS) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
  }
#undef CASE
}

INLINE void clear(Tile& c) {
  for (int i = 0; i < ROWS; i++) c.at[i][0] = c.at[i][1] = Vec{};
}

// Row i of the tile to y: n of its columns.
INLINE void put(float* y, const Tile& c, int i, Index n) {
  store_some(y, c.at[i][0], n);
  if (n > LANES) store_some(y + LANES, c.at[i][1], n - LANES);
}

INLINE Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
INLINE Index smaller(Index a, Index b) { return a < b ? a : b; }

// Σ_p b[p] of `lanes` columns, for rows `step` apart, in two sums side by side.
INLINE Vec column_sum(const float* b, Index step, Index count, Index lanes) {
  Vec even = {}, odd = {};
  Index p = 0;
  for (; p + 2 <= count; p += 2, b += 2 * step) even += load_some(b, lanes), odd += load_some(b + step, lanes);
  return even + odd + (p < count ? load_some(b, lanes) : Vec{});
}

// ---- B, packed ------------------------------------------------------------------------------------------
// Panel p holds columns p · COLUMNS … of all k rows of B, row after row, with 0 beyond the last column.

// One panel of b (k × n, rows `step` apart), beginning at column j.
inline void pack_panel(const float* b, Index k, Index n, Index step, Index j, float* panel) {
  Index have = smaller(n - j, COLUMNS);
  for (Index i = 0; i < k; i++, panel += COLUMNS) {
    const float* row = b + i * step + j;
    store(panel, load_some(row, smaller(have, LANES)));
    store(panel + LANES, have > LANES ? load_some(row + LANES, have - LANES) : Vec{});
  }
}

// One panel of the transpose of b (n × k, rows `step` apart), beginning at its row j.
inline void pack_panel_transposed(const float* b, Index k, Index n, Index step, Index j, float* panel) {
  transpose(b + j * step, smaller(n - j, COLUMNS), k, step, panel, COLUMNS, COLUMNS);
}

}  // namespace
