// A picture (h, w, c) of bytes as floats in another size: each new number is a weighted sum of some old ones, first
// down the columns, then along the rows.
//
// A plain C function and no XLA kernel: the threads that read pictures call it, each for a picture of its own.
#include <algorithm>
#include <vector>

#include "simd.h"

namespace {

// entries and weights are (new, taps): which old ones make a new one.
struct Taps {
  const Index* entries;
  const float* weights;
  Index count;
};

template <int C>
void along(const float* row, Taps x, Index new_w, float* out) {
  for (Index j = 0; j < new_w; j++, out += C) {
    float sum[C] = {};
    for (Index t = 0; t < x.count; t++) {
      const float* pixel = row + x.entries[j * x.count + t] * C;
      float weight = x.weights[j * x.count + t];
      for (int c = 0; c < C; c++) sum[c] += weight * pixel[c];
    }
    for (int c = 0; c < C; c++) out[c] = sum[c];
  }
}

}  // namespace

// `line` and `step`: from one row to the next, of the picture and of `out`. c is 1, 3 or 4.
extern "C" __attribute__((visibility("default"))) void seriatim_resize_picture(
    const uint8_t* picture, Index line, Index w, Index c, const Index* rows, const float* row_weights, Index row_taps,
    const Index* columns, const float* column_weights, Index column_taps, float* out, Index step, Index new_h,
    Index new_w) {
  Taps x = {columns, column_weights, column_taps};
  Index wide = w * c;
  static thread_local std::vector<float> room;
  room.resize(std::max<size_t>(room.size(), wide));
  float* row = room.data();
  for (Index i = 0; i < new_h; i++, out += step) {
    for (Index t = 0; t < row_taps; t++) {
      const uint8_t* old = picture + rows[i * row_taps + t] * line;
      float weight = row_weights[i * row_taps + t];
      if (t == 0)
        for (Index j = 0; j < wide; j++) row[j] = weight * old[j];
      else
        for (Index j = 0; j < wide; j++) row[j] += weight * old[j];
    }
    if (c == 1) along<1>(row, x, new_w, out);
    if (c == 3) along<3>(row, x, new_w, out);
    if (c == 4) along<4>(row, x, new_w, out);
  }
}
