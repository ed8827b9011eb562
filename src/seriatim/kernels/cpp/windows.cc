// The maximum or the mean of each window, over one to three axes, channels last; and their gradients.
//
// The maximum keeps which cell of the window it was, a byte for each, and its gradient goes there: to the first of
// equal cells. NaN counts as larger than any number, so that it passes. A window that reaches beyond the edge has
// fewer cells.
#include "places.h"

namespace {

using Numbers = ffi::Span<const int64_t>;

constexpr int AXES = 3;
constexpr int MOST = 255;  // cells of a window

// Windows over images x, one for each cell of y.
struct Windows {
  Index batch, channels, in[AXES], out[AXES], window[AXES], stride[AXES], before[AXES], step[AXES];
  Index count, offset[MOST];  // of a whole window: its cells, and where they lie from the first of them

  Windows(Numbers x, Numbers y, Numbers numbers) : batch(x[0]), channels(x[4]) {
    for (int a = 0; a < AXES; a++) {
      in[a] = x[1 + a], out[a] = y[1 + a];
      window[a] = numbers[a], stride[a] = numbers[AXES + a], before[a] = numbers[2 * AXES + a];
    }
    step[2] = channels, step[1] = in[2] * step[2], step[0] = in[1] * step[1];
    count = 0;
    for (Index p = 0; p < window[0]; p++)
      for (Index q = 0; q < window[1]; q++)
        for (Index r = 0; r < window[2]; r++) offset[count++] = p * step[0] + q * step[1] + r * step[2];
  }

  Index image_in() const { return in[0] * step[0]; }
  Index rows() const { return out[0] * out[1]; }
  double cells() const { return double(batch) * rows() * out[2] * channels * count; }

  // No cell lies in two windows.
  bool apart() const { return window[0] <= stride[0] && window[1] <= stride[1] && window[2] <= stride[2]; }
  // Every cell lies in some window.
  bool cover() const {
    for (int a = 0; a < AXES; a++)
      if (stride[a] > window[a] || (out[a] - 1) * stride[a] + window[a] - before[a] < in[a]) return false;
    return true;
  }
};

// The cells of one window: along each axis those from `low` to `high`, counted within the window.
struct Box {
  Index low[AXES], high[AXES], row, origin;  // where the window's cell (0, 0, 0) would lie in the image

  // The windows of one row of an image; `move` goes to one of them.
  Box(const Windows& w, Index of_image) : row(0) {
    row += place(w, 0, of_image / w.out[1]) * w.step[0];
    row += place(w, 1, of_image % w.out[1]) * w.step[1];
  }
  INLINE void move(const Windows& w, Index column) { origin = row + place(w, 2, column) * w.step[2]; }
  INLINE Index place(const Windows& w, int a, Index at) {
    Index start = at * w.stride[a] - w.before[a];
    low[a] = start < 0 ? -start : 0, high[a] = smaller(w.window[a], w.in[a] - start);
    return start;
  }
  Index count() const { return (high[0] - low[0]) * (high[1] - low[1]) * (high[2] - low[2]); }
};

// body(offset, place) for each cell of a window: where it lies in the image, and which of the window's cells it is.
template <typename Body>
INLINE void each_cell(const Windows& w, const Box& box, const Body& body) {
  if (box.count() == w.count) {
    for (Index i = 0; i < w.count; i++) body(box.origin + w.offset[i], i);
    return;
  }
  for (Index p = box.low[0]; p < box.high[0]; p++)
    for (Index q = box.low[1]; q < box.high[1]; q++) {
      Index offset = box.origin + p * w.step[0] + q * w.step[1] + box.low[2] * w.step[2];
      Index place = (p * w.window[1] + q) * w.window[2] + box.low[2];
      for (Index r = box.low[2]; r < box.high[2]; r++, offset += w.step[2], place++) body(offset, place);
    }
}

// y[pixel] for every window, in pieces of neighbouring rows. `pixel(image, box, at, n)` makes n channels of one.
template <typename Pixel>
void each_window(ffi::ThreadPool& pool, const Windows& w, const Pixel& pixel) {
  Index total = w.batch * w.rows(), share = ceil_div(total, 128);
  each(pool, ceil_div(total, share), w.cells(), [&](Index piece) {
    for (Index row = piece * share; row < smaller((piece + 1) * share, total); row++) {
      Box box(w, row % w.rows());
      Index image = row / w.rows() * w.image_in(), at = row * w.out[2] * w.channels;
      for (Index column = 0; column < w.out[2]; column++, at += w.channels) {
        box.move(w, column);
        for (Index c = 0; c < w.channels; c += LANES) pixel(image + c, box, at + c, smaller(w.channels - c, LANES));
      }
    }
  });
}

// The same for gradients, where windows may share cells: a piece is an image, or some of its channels.
template <typename Pixel>
void each_image(ffi::ThreadPool& pool, const Windows& w, float* dx, const Pixel& pixel) {
  Index block = w.batch >= 16 ? w.channels : smaller(w.channels, 2 * LANES), blocks = ceil_div(w.channels, block);
  bool clear = !w.cover() || !w.apart();
  each(pool, w.batch * blocks, w.cells(), [&](Index piece) {
    Index from = piece % blocks * block, to = smaller(from + block, w.channels);
    float* image = dx + piece / blocks * w.image_in();
    if (clear && blocks == 1) memset(image, 0, w.image_in() * sizeof(float));
    for (Index i = 0; clear && blocks > 1 && i < w.image_in(); i += w.channels)
      memset(image + i + from, 0, (to - from) * sizeof(float));
    Index at = piece / blocks * w.rows() * w.out[2] * w.channels;
    for (Index row = 0; row < w.rows(); row++) {
      Box box(w, row);
      for (Index column = 0; column < w.out[2]; column++, at += w.channels) {
        box.move(w, column);
        for (Index c = from; c < to; c += LANES) pixel(image + c, box, at + c, smaller(to - c, LANES));
      }
    }
  });
}

ffi::Error max_forward(ffi::ThreadPool pool, Floats x, Numbers numbers, FloatsOut y) {
  Windows w(x.dimensions(), y->dimensions(), numbers);
  const float* from = x.typed_data();
  float* to = y->typed_data();
  each_window(pool, w, [&](Index image, const Box& box, Index at, Index n) {
    Vec best = all(-__builtin_inff());
    each_cell(w, box, [&](Index offset, Index) {
      Vec cell = load_some(from + image + offset, n);
      best = select((best >= cell) | (best != best), best, cell);
    });
    store_some(to + at, best, n);
  });
  return ffi::Error::Success();
}

ffi::Error max_with_places(ffi::ThreadPool pool, Floats x, Numbers numbers, FloatsOut y, BytesOut places) {
  Windows w(x.dimensions(), y->dimensions(), numbers);
  const float* from = x.typed_data();
  float* to = y->typed_data();
  uint8_t* where = places->typed_data();
  each_window(pool, w, [&](Index image, const Box& box, Index at, Index n) {
    Largest largest((box.low[0] * w.window[1] + box.low[1]) * w.window[2] + box.low[2]);
    each_cell(w, box, [&](Index offset, Index place) { largest.meet(load_some(from + image + offset, n), place); });
    store_some(to + at, largest.value, n);
    store_places(where + at, largest.place, n);
  });
  return ffi::Error::Success();
}

ffi::Error max_gradient(ffi::ThreadPool pool, Floats dy, Bytes places, Numbers numbers, FloatsOut dx) {
  Windows w(dx->dimensions(), dy.dimensions(), numbers);
  bool apart = w.apart();
  const float* from = dy.typed_data();
  const uint8_t* where = places.typed_data();
  each_image(pool, w, dx->typed_data(), [&](float* image, const Box& box, Index at, Index n) {
    Vec slope = load_some(from + at, n);
    IntVec first = load_places(where + at, n);
    each_cell(w, box, [&](Index offset, Index place) {
      Vec own = select(first == int32_t(place), slope, Vec{});
      store_some(image + offset, apart ? own : load_some(image + offset, n) + own, n);
    });
  });
  return ffi::Error::Success();
}

ffi::Error mean_forward(ffi::ThreadPool pool, Floats x, Numbers numbers, FloatsOut y) {
  Windows w(x.dimensions(), y->dimensions(), numbers);
  const float* from = x.typed_data();
  float* to = y->typed_data();
  each_window(pool, w, [&](Index image, const Box& box, Index at, Index n) {
    Vec sum = {};
    each_cell(w, box, [&](Index offset, Index) { sum += load_some(from + image + offset, n); });
    store_some(to + at, sum / float(box.count()), n);
  });
  return ffi::Error::Success();
}

ffi::Error mean_gradient(ffi::ThreadPool pool, Floats dy, Numbers numbers, FloatsOut dx) {
  Windows w(dx->dimensions(), dy.dimensions(), numbers);
  bool apart = w.apart();
  const float* from = dy.typed_data();
  each_image(pool, w, dx->typed_data(), [&](float* image, const Box& box, Index at, Index n) {
    Vec own = load_some(from + at, n) / float(box.count());
    each_cell(w, box, [&](Index offset, Index) {
      store_some(image + offset, apart ? own : load_some(image + offset, n) + own, n);
    });
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(max_pool, max_forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>());
KERNEL(max_pool_places, max_with_places,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>().Ret<Bytes>());
KERNEL(max_pool_gradient, max_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Bytes>().Attr<Numbers>("numbers").Ret<Floats>());
KERNEL(average_pool, mean_forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>());
KERNEL(average_pool_gradient, mean_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>());
