// The gradients of a convolution of which only the largest cell of each image and channel is wanted (GlobalMaxPool).
//
// That cell alone has a slope, or those that tie share it. So one window of the source is added to the weights, or the
// weights to one window, for each image and channel; all other cells cost a comparison.
#include "slide.h"

namespace {

thread_local Scratch columns_box;  // the caller's: the weights of each filter side by side
thread_local Scratch filters_box;  // each thread's own: sums for the weights of LANES filters

// A result y (images, cells, channels) with the largest cell of each image and channel, and the slope of that.
struct Largest {
  Array x, y;
  Window window;
  const float *cells, *top, *slope;
  bool rectify;
  Index taps, height;

  Largest(const Floats& x, const Floats& y, const Floats& top, const Floats& dy, ffi::Span<const int64_t> kernel,
          Numbers numbers, bool rectify)
      : x(x.dimensions()), y(y.dimensions()), window(window_of(kernel, numbers)), cells(y.typed_data()),
        top(top.typed_data()), slope(dy.typed_data()), rectify(rectify) {
    taps = window.taps[0] * window.taps[1] * window.taps[2];
    height = taps * this->x.channels;
  }

  // The slopes of channels `from` to from + n, of which each of the cells that tie has its share: 0 where relu lets
  // nothing pass, NaN where no cell is equal to the largest since that is NaN.
  Vec shares(Index image, Index from, Index n) const {
    Vec highest = load_some(top + image * y.channels + from, n), count = {};
    const float* cell = cells + image * y.image + from;
    for (Index p = 0; p < y.image; p += y.channels)
      count += select(load_some(cell + p, n) == highest, all(1), Vec{});
    Vec share = load_some(slope + image * y.channels + from, n) / count;
    return rectify ? select(highest <= Vec{}, Vec{}, share) : share;
  }

  // body(lane, share, position) for each cell with a slope, and each lane without a number once, at position 0.
  template <typename Body>
  void each(Index image, Index from, Index n, const Body& body) const {
    Vec highest = load_some(top + image * y.channels + from, n);
    float share[LANES];
    store(share, shares(image, from, n));
    for (Index lane = 0; lane < n; lane++)
      if (highest[lane] != highest[lane]) body(lane, highest[lane], 0);
    const float* cell = cells + image * y.image + from;
    for (Index position = 0; position < y.image / y.channels; position++) {
      IntVec here = load_some(cell + position * y.channels, n) == highest;
      if (!some(here)) continue;
      for (Index lane = 0; lane < n; lane++)
        if (here[lane] && share[lane] != 0) body(lane, share[lane], position);
    }
  }

  // body(tap, offset) for each tap of the window at a position that lies within the source.
  template <typename Body>
  void each_tap(Index position, const Body& body) const {
    Index at[AXES] = {position / (y.size[1] * y.size[2]), position / y.size[2] % y.size[1], position % y.size[2]};
    Index tap = 0, cell[AXES];
    auto inside = [&](int a, Index t) {
      cell[a] = at[a] * window.stride[a] + t * window.dilation[a] - window.before[a];
      return cell[a] >= 0 && cell[a] < x.size[a];
    };
    for (Index s = 0; s < window.taps[0]; s++)
      for (Index t = 0; t < window.taps[1]; t++)
        for (Index u = 0; u < window.taps[2]; u++, tap++)
          if (inside(0, s) && inside(1, t) && inside(2, u))
            body(tap, cell[0] * x.step[0] + cell[1] * x.step[1] + cell[2] * x.step[2]);
  }

  double work() const { return 4.0 * y.batch * y.image + 2.0 * y.batch * y.channels * height; }

 private:
  static bool some(IntVec here) {
    int32_t any = 0;
    for (int i = 0; i < LANES; i++) any |= here[i];
    return any;
  }
};

INLINE void add_scaled(float* to, const float* from, float scale, Index n) {
  for (Index i = 0; i < n; i += LANES)
    store_some(to + i, load_some(to + i, n - i) + all(scale) * load_some(from + i, n - i), n - i);
}

// dw[k, c, f] = Σ over images of slope · x[largest · stride + k · dilation − before, c], dbias[f] = Σ slope
ffi::Error weight_gradient(ffi::ThreadPool pool, Floats x, Floats y, Floats top, Floats dy, Numbers numbers,
                           bool rectify, FloatsOut dw, FloatsOut dbias) {
  Largest largest(x, y, top, dy, dw->dimensions(), numbers, rectify);
  Index filters = largest.y.channels, deep = largest.x.channels, height = largest.height;
  each(pool, ceil_div(filters, LANES), largest.work(), [&](Index piece) {
    Index from = piece * LANES, n = smaller(filters - from, LANES);
    float *sums = filters_box.floats((height + 1) * LANES), *bias = sums + height * LANES;
    memset(sums, 0, (height + 1) * LANES * sizeof(float));
    for (Index image = 0; image < largest.y.batch; image++)
      largest.each(image, from, n, [&](Index lane, float share, Index position) {
        const float* source = x.typed_data() + image * largest.x.image;
        bias[lane] += share;
        largest.each_tap(position, [&](Index tap, Index offset) {
          add_scaled(sums + lane * height + tap * deep, source + offset, share, deep);
        });
      });
    for (Index r = 0; r < height; r++)
      for (Index lane = 0; lane < n; lane++)
        dw->typed_data()[r * filters + from + lane] = sums[lane * height + r];
    if (dbias->element_count()) memcpy(dbias->typed_data() + from, bias, n * sizeof(float));
  });
  return ffi::Error::Success();
}

// dx[largest · stride + k · dilation − before, c] = Σ over filters of slope · w[k, c, f]
ffi::Error input_gradient(ffi::ThreadPool pool, Floats x, Floats y, Floats top, Floats dy, Floats kernel,
                          Numbers numbers, bool rectify, FloatsOut dx) {
  Largest largest(x, y, top, dy, kernel.dimensions(), numbers, rectify);
  Index filters = largest.y.channels, deep = largest.x.channels, height = largest.height;
  Index wide = ceil_div(height, LANES) * LANES;
  float* columns = columns_box.floats(ceil_div(filters, LANES) * LANES * wide);
  transpose(kernel.typed_data(), height, filters, filters, columns, wide, wide);
  each(pool, largest.y.batch, largest.work(), [&](Index image) {
    float* to = dx->typed_data() + image * largest.x.image;
    memset(to, 0, largest.x.image * sizeof(float));
    for (Index from = 0; from < filters; from += LANES)
      largest.each(image, from, smaller(filters - from, LANES), [&](Index lane, float share, Index position) {
        largest.each_tap(position, [&](Index tap, Index offset) {
          add_scaled(to + offset, columns + (from + lane) * wide + tap * deep, share, deep);
        });
      });
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(conv_largest_weight_gradient, weight_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<Numbers>("numbers").Attr<bool>("relu").Ret<Floats>().Ret<Floats>());
KERNEL(conv_largest_input_gradient, input_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<Numbers>("numbers").Attr<bool>("relu").Ret<Floats>());
