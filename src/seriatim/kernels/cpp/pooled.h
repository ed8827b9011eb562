// The largest cell of each window of a result that is never written.
#pragma once

#include "places.h"
#include "slide.h"

namespace {

// Windows lie side by side. A piece of the result is kept only until their largest cells are found, or made from the
// slopes of these.
struct Pooling {
  Index size[AXES];
  Array y, result;  // the largest cells, and all of them

  Pooling(Numbers size, Numbers y) : size{size[0], size[1], size[2]}, y(y), result(this->y.widened(this->size)) {}

  // What a piece is to be like.
  Wish wish() const {
    Wish w;
    w.beside = result.channels;
    for (int a = AXES - 1; a >= 0; a--)
      if (result.size[a] > 1) w.whole = size[a];
    return w;
  }
  // From image to image of a piece of the result.
  Index image(const Layout& l) const { return l.bands == 1 ? result.image : l.band * result.step[l.axis]; }

  // body(at, window, n) for n channels of each window of a piece: where they lie in y, and where the
  // window's first cell lies in the piece.
  template <typename Body>
  void each_window(const Layout& l, Index piece, const Walk* walks, const Body& body) const {
    Index count[AXES], at = l.first_image(piece) * y.image + l.first_cell(piece) / size[l.axis] * y.step[l.axis];
    for (int a = 0; a < AXES; a++) count[a] = l.cells_of(piece, walks, a) / size[a];
    for (Index i = 0; i < l.images_of(piece); i++)
      for (Index p = 0; p < count[0]; p++)
        for (Index q = 0; q < count[1]; q++)
          for (Index r = 0; r < count[2]; r++) {
            Index pixel = at + i * y.image + p * y.step[0] + q * y.step[1] + r * y.step[2];
            Index window = i * image(l) + p * size[0] * result.step[0] + q * size[1] * result.step[1] +
                           r * size[2] * result.step[2];
            for (Index c = 0; c < y.channels; c += LANES)
              body(pixel + c, window + c, smaller(y.channels - c, LANES));
          }
  }
  // body(offset, place) for each cell of a window.
  template <typename Body>
  INLINE void each_cell(const Body& body) const {
    int32_t place = 0;
    for (Index s = 0; s < size[0]; s++)
      for (Index t = 0; t < size[1]; t++)
        for (Index u = 0; u < size[2]; u++)
          body(s * result.step[0] + t * result.step[1] + u * result.step[2], place++);
  }

  void find(const Layout& l, Index piece, const Walk* walks, const float* z, bool rectify, float* to,
            uint8_t* places) const {
    each_window(l, piece, walks, [&](Index at, Index window, Index lanes) {
      Largest largest(0);
      each_cell([&](Index offset, int32_t place) { largest.meet(load_some(z + window + offset, lanes), place); });
      if (rectify) largest.rectify();
      store_some(to + at, largest.value, lanes);
      store_places(places + at, largest.place, lanes);
    });
  }
  void spread(const Layout& l, Index piece, const Walk* walks, const float* dy, const uint8_t* places,
              float* dz) const {
    each_window(l, piece, walks, [&](Index at, Index window, Index lanes) {
      Vec slope = load_some(dy + at, lanes);
      IntVec largest = load_places(places + at, lanes);
      each_cell([&](Index offset, int32_t place) {
        store_some(dz + window + offset, select(largest == place, slope, Vec{}), lanes);
      });
    });
  }
};

}  // namespace
