// Convolution in which each channel meets its own kernel and no other channel: as many groups as channels.
//
// Nothing is shared between channels, so there is no product: a vector holds neighbouring channels of one pixel.
#pragma once

#include "slide.h"

namespace {

constexpr int PIXELS_AT_ONCE = 4;  // share what they load of the kernel

INLINE bool depthwise(const Array& a, const Array& b, const Window& w) {
  return w.groups == a.channels && w.groups == b.channels;
}

// result[p, c] = Σ_t source[p + t, c] · kernel[t, c] (+ bias[c]), for the walks of every phase.
template <typename WalkOf>
void slide_apart(ffi::ThreadPool& pool, const Window& window, const Array& source, const float* from,
                 const Array& result, float* to, const Index* phases, const WalkOf& walk, const float* kernel,
                 const float* bias, bool rectify) {
  Layout l = lay(source, phases, walk);
  Index channels = result.channels, all_taps = window.taps[0] * window.taps[1] * window.taps[2];
  Index pixels = l.images * result.size[0] * result.size[1] * result.size[2];
  Index* taps = reinterpret_cast<Index*>(tables.floats(2 * (2 * all_taps + 2 * pixels)));
  Index *own = taps + all_taps, *reads = own + all_taps, *writes = reads + pixels;
  double work = 2.0 * result.batch * result.image * all_taps;
  for (Index n = 0; n < phases[0] * phases[1] * phases[2]; n++) {
    Walk w[AXES] = {walk(0, n / phases[2] / phases[1]), walk(1, n / phases[2] % phases[1]), walk(2, n % phases[2])};
    Index count = w[0].taps * w[1].taps * w[2].taps;
    list_taps(l, w, window, taps, [&](Index i, Index tap) { own[i] = tap * channels; });
    list_pixels(l, w, result, reads, writes);
    each(pool, l.pieces(), work / (phases[0] * phases[1] * phases[2]), [&](Index piece) {
      const float* box = l.box(from, piece);
      Index high = l.pixels_of(piece, w);
      float* base = to + l.first_image(piece) * result.image +
                    l.first_cell(piece) * w[l.axis].write * result.step[l.axis];
      for (Index p = 0; p < high; p += PIXELS_AT_ONCE) {
        // Beyond the last pixel, the last once more: written again with the same numbers.
        Index at[PIXELS_AT_ONCE];
        for (int i = 0; i < PIXELS_AT_ONCE; i++) at[i] = smaller(p + i, high - 1);
        for (Index c = 0; c < channels; c += LANES) {
          Index lanes = smaller(channels - c, LANES);
          Vec sums[PIXELS_AT_ONCE];
          for (int i = 0; i < PIXELS_AT_ONCE; i++) sums[i] = bias != nullptr ? load_some(bias + c, lanes) : Vec{};
          for (Index t = 0; t < count; t++) {
            Vec weight = load_some(kernel + own[t] + c, lanes);
            const float* x = box + taps[t] + c;
            for (int i = 0; i < PIXELS_AT_ONCE; i++) sums[i] += load_some(x + reads[at[i]], lanes) * weight;
          }
          for (int i = 0; i < PIXELS_AT_ONCE; i++)
            store_some(base + writes[at[i]] + c, rectify ? relu(sums[i]) : sums[i], lanes);
        }
      }
    });
  }
}

// dw[t, c] (+)= Σ_p x[p + t, c] · dy[p, c], and dbias[c] (+)= Σ_p dy[p, c] if asked; set if `first`.
inline void sum_apart(const float* x, const float* dy, Index channels, const Index* taps, Index count,
                      const Index* pixels, Index high, bool first, float* dw, float* dbias) {
  auto keep = [&](float* to, Vec sum, Index n) { store_some(to, first ? sum : load_some(to, n) + sum, n); };
  for (Index c = 0; c < channels; c += LANES) {
    Index lanes = smaller(channels - c, LANES);
    for (Index t = 0; t < count; t += ROWS) {
      with_tile(smaller(count - t, ROWS), 1, [&](auto n, auto) {
        Vec sums[n] = {};
        for (Index p = 0; p < high; p++) {
          Vec slope = load_some(dy + p * channels + c, lanes);
          const float* at = x + pixels[p] + c;
          for (int i = 0; i < n; i++) sums[i] += load_some(at + taps[t + i], lanes) * slope;
        }
        for (int i = 0; i < n; i++) keep(dw + (t + i) * channels + c, sums[i], lanes);
      });
    }
    if (dbias == nullptr) continue;
    Vec sum = {};
    for (Index p = 0; p < high; p++) sum += load_some(dy + p * channels + c, lanes);
    keep(dbias + c, sum, lanes);
  }
}

}  // namespace
