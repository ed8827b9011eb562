// Convolution with few filters: a vector holds channels of the source, and is summed at the end.
#pragma once

#include "slide.h"

namespace {

// Whether a vector is better filled with channels than with filters.
INLINE bool few(Index filters, Index deep) { return filters * 4 <= LANES && deep >= LANES; }

// c[i][f] += Σ_runs Σ_k rows[i][from + k] · weights[row + k]
template <int R>
INLINE void add_dots(Tile& c, int f, const float* const* rows, const Run* runs, Index count, const float* weights) {
  Vec sums[R] = {};
  for (const Run* run = runs; run < runs + count; run++)
    for (Index k = 0; k < run->length; k += LANES) {
      Index lanes = run->length - k;
      Vec w = load_some(weights + run->row + k, lanes);
      for (int i = 0; i < R; i++) sums[i] += load_some(rows[i] + run->from + k, lanes) * w;
    }
  for (int i = 0; i < R; i++) c.at[i][0][f] += sum(sums[i]);
}

// dw[t, c, f] (+)= Σ_p x[pixels[p] + taps[t] + c] · dy[p, f] for few filters; set if `first`.
inline void sum_dots(const float* x, const float* dy, Index filters, const Index* taps, Index count, Index deep,
                     const Index* pixels, Index high, bool first, float* dw) {
  Index blocks = ceil_div(deep, LANES);
  for (Index f = 0; f < filters; f++)
    for (Index begin = 0; begin < count * blocks; begin += ROWS)
      with_tile(smaller(count * blocks - begin, ROWS), 1, [&](auto n, auto) {
        const float* from[n];
        Index lanes[n];
        for (int i = 0; i < n; i++) {
          Index c = (begin + i) % blocks * LANES;
          from[i] = x + taps[(begin + i) / blocks] + c, lanes[i] = smaller(deep - c, LANES);
        }
        Vec sums[n] = {};
        for (Index p = 0; p < high; p++) {
          Vec slope = all(dy[p * filters + f]);
          for (int i = 0; i < n; i++) sums[i] += load_some(from[i] + pixels[p], lanes[i]) * slope;
        }
        for (int i = 0; i < n; i++) {
          float* to = dw + ((begin + i) / blocks * deep + (begin + i) % blocks * LANES) * filters + f;
          for (Index c = 0; c < lanes[i]; c++) to[c * filters] = (first ? 0 : to[c * filters]) + sums[i][c];
        }
      });
}

}  // namespace
