// A picture (h, w, c) of bytes as floats in another size: each new number is a weighted sum of some old ones, first
// down the columns, then along the rows.
//
// A plain C function and no XLA kernel: the threads that read pictures call it, each for a picture of its own.
#include <algorithm>
#include <cstring>
#include <vector>

#include "simd.h"

namespace {

typedef float Four __attribute__((vector_size(16)));

// entries and weights are (new, taps): which old ones make a new one.
struct Taps {
  const Index* entries;
  const float* weights;
  Index count;
};

// A pixel is worked on as four numbers: what is written behind its own is overwritten by the next pixels, and not
// written at the end of the row.
template <int C>
void along(const float* row, Taps x, Index new_w, float* out) {
  for (Index j = 0; j < new_w; j++, out += C) {
    Four sum = {};
    for (Index t = 0; t < x.count; t++) {
      Four pixel;
      memcpy(&pixel, row + x.entries[j * x.count + t] * C, sizeof pixel);
      sum += x.weights[j * x.count + t] * pixel;
    }
    memcpy(out, &sum, (new_w - j) * C >= 4 ? sizeof sum : C * sizeof(float));
  }
}

// row = the weighted sum of some rows of the picture, two at a time.
void across(const uint8_t* picture, Index line, const Index* entries, const float* weights, Index count, Index wide,
            float* row) {
  for (Index t = 0; t < count; t += 2) {
    const uint8_t* one = picture + entries[t] * line;
    const uint8_t* other = t + 1 < count ? picture + entries[t + 1] * line : one;
    float weight = weights[t], last = t + 1 < count ? weights[t + 1] : 0;
    if (t == 0)
      for (Index j = 0; j < wide; j++) row[j] = weight * one[j] + last * other[j];
    else
      for (Index j = 0; j < wide; j++) row[j] += weight * one[j] + last * other[j];
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
  room.resize(std::max<size_t>(room.size(), wide + 4));  // the last pixel, too, is read as four numbers
  float* row = room.data();
  for (Index i = 0; i < new_h; i++, out += step) {
    across(picture, line, rows + i * row_taps, row_weights + i * row_taps, row_taps, wide, row);
    if (c == 1) along<1>(row, x, new_w, out);
    if (c == 3) along<3>(row, x, new_w, out);
    if (c == 4) along<4>(row, x, new_w, out);
  }
}
