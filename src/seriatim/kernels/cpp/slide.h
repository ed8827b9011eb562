// How a window slides over an array of one to three axes, as tables of offsets.
//
// Whatever the stride, dilation or rank, row p of a result reads a source at base + pixel[p] + tap[t]: two small
// tables, made once, are all the difference between the cases. Where windows reach beyond the edge, a piece works on
// its own copy of what it reads, with zeros around it. The gradient for the input is the same walk over dy; with
// strides it is one walk for each phase, so that no work goes into zeros between the cells.
#pragma once

#include "product.h"

namespace {

constexpr int AXES = 3;               // fewer come with leading axes of 1
constexpr Index PIXELS = 8 * ROWS;    // of a piece, at least
constexpr Index PIECES = 32;          // wanted, if they do not get too small
constexpr Index NEAR = 1 << 16;       // floats that a piece may hold before it is cut
constexpr Index FEW_IMAGES = 4;       // fewer rows leave a tile's sums too little to do
constexpr Index PAGE = 4096;          // bytes after which addresses share their place in the nearest cache
constexpr Index LINE = 16;            // floats of a line of it

thread_local Scratch tables;      // the caller's
thread_local Scratch padded_box;  // each thread's own

// An array (batch, three axes, channels), and the floats from one cell to the next.
struct Array {
  Index batch, size[AXES], channels, step[AXES], image;

  explicit Array(ffi::Span<const int64_t> d) : batch(d[0]), size{d[1], d[2], d[3]}, channels(d[4]) { count(); }
  void count() {
    step[2] = channels, step[1] = size[2] * step[2], step[0] = size[1] * step[1], image = size[0] * step[0];
  }

  // The same with so many times the cells along each axis.
  Array widened(const Index* times) const {
    Array wide = *this;
    for (int a = 0; a < AXES; a++) wide.size[a] *= times[a];
    wide.count();
    return wide;
  }
};

// From `first` on, up to `end`.
struct Span {
  Index first, end;

  bool operator!=(const Span& other) const { return first != other.first || end != other.end; }
};

struct Window {
  Index taps[AXES], stride[AXES], dilation[AXES], before[AXES], groups;
};

// Taps that lie side by side in memory: `length` floats at `from` in the source, on rows of the kernel from `row` on.
struct Run {
  Index from, length, row;
};

// What the cells of a result read along one axis: cell m of `count` lies at start + m · write, and is a sum over
// `taps` cells of the source, at m · read + offset + t · apart, weighed by the kernel's taps first + t · next.
struct Walk {
  Index count, start, write, read, taps, first, next, offset, apart;

  // The taps that cell m reads within a source of `size` cells.
  Span within(Index m, Index size) const {
    Index at = m * read + offset;
    Span s = {0, taps};
    while (s.first < s.end && at + s.first * apart < 0) s.first++;
    while (s.first < s.end && at + (s.end - 1) * apart >= size) s.end--;
    return s;
  }
};

Walk forwards(const Window& w, int axis, Index out) {
  return {out, 0, 1, w.stride[axis], w.taps[axis], 0, 1, -w.before[axis], w.dilation[axis]};
}

// dx[j] = Σ_k w[k] · dy[(j + before − k · dilation) / stride] over those taps k for which that is a whole number.
// The cells j = phase + m · stride share their taps.
Walk backwards(const Window& w, int axis, Index size, Index phase) {
  Index stride = w.stride[axis], dilation = w.dilation[axis], taps = 0, last = 0, gap = 0;
  for (Index k = 0; k < w.taps[axis]; k++)
    if ((phase + w.before[axis] - k * dilation) % stride == 0) gap = k - last, last = k, taps++;
  return {ceil_div(size - phase, stride), phase, stride, 1, taps, last, -gap,
          (phase + w.before[axis] - last * dilation) / stride, gap * dilation / stride};
}

// How a source is read: in pieces of whole images, or of one band of some images along their first axis.
//
// Where windows reach beyond the edge and there are images enough, the rows of a tile are one pixel of several images
// (`across`): they share the taps that lie within the source, and the others are left out.
struct Layout {
  const Array* source;
  Index low[AXES], extent[AXES];  // the box that a piece reads: its first cell in the source, and its size
  Index step[AXES], image;        // floats from cell to cell, and from image to image, of what is read
  bool padded, across;            // padded: a piece reads a copy of its own
  int axis;
  Index read, images, band, bands;

  Index pieces() const { return ceil_div(source->batch, images) * bands; }
  Index first_image(Index piece) const { return piece / bands * images; }
  Index first_cell(Index piece) const { return piece % bands * band; }
  Index images_of(Index piece) const { return smaller(images, source->batch - first_image(piece)); }

  // How many cells of a result whose walks are these fall to the piece, along an axis and altogether.
  Index cells_of(Index piece, const Walk* walks, int a) const {
    Index n = a == axis ? smaller(band, walks[a].count - first_cell(piece)) : walks[a].count;
    return n > 0 ? n : 0;
  }
  Index pixels_of(Index piece, const Walk* walks) const {
    return images_of(piece) * cells_of(piece, walks, 0) * cells_of(piece, walks, 1) * cells_of(piece, walks, 2);
  }

  // body(cell, taps) for each cell of the piece in one image: counted within the piece, and what it reads within the
  // source along each axis.
  template <typename Body>
  void each_cell(Index piece, const Walk* w, const Body& body) const {
    Index at[AXES], first[AXES] = {};
    Span within[AXES];
    first[axis] = first_cell(piece);
    auto enter = [&](int a) { within[a] = w[a].within(first[a] + at[a], source->size[a]); };
    for (at[0] = 0; at[0] < cells_of(piece, w, 0); at[0]++) {
      enter(0);
      for (at[1] = 0; at[1] < cells_of(piece, w, 1); at[1]++) {
        enter(1);
        for (at[2] = 0; at[2] < cells_of(piece, w, 2); at[2]++) {
          enter(2);
          body(at, within);
        }
      }
    }
  }

  // Where the piece reads: in the source itself, or in a copy with zeros around it.
  const float* box(const float* data, Index piece) const {
    data += first_image(piece) * source->image;
    if (!padded) return data + first_cell(piece) * read * step[axis];
    float* copy = padded_box.floats(images * image);
    Index from[AXES] = {low[0], low[1], low[2]}, c = source->channels;
    from[axis] += first_cell(piece) * read;
    Index left = smaller(from[2] < 0 ? -from[2] : 0, extent[2]);
    Index wide = smaller(extent[2] - left, source->size[2] - from[2] - left);
    if (wide < 0) wide = 0;
    for (Index i = 0; i < images_of(piece); i++, data += source->image) {
      float* row = copy + i * image;
      for (Index p = from[0]; p < from[0] + extent[0]; p++)
        for (Index q = from[1]; q < from[1] + extent[1]; q++, row += extent[2] * c) {
          if (p < 0 || p >= source->size[0] || q < 0 || q >= source->size[1]) {
            memset(row, 0, extent[2] * c * sizeof(float));
            continue;
          }
          memset(row, 0, left * c * sizeof(float));
          memcpy(row + left * c, data + p * source->step[0] + q * source->step[1] + (from[2] + left) * c,
                 wide * c * sizeof(float));
          memset(row + (left + wide) * c, 0, (extent[2] - left - wide) * c * sizeof(float));
        }
    }
    return copy;
  }
};

// What a caller of `lay` wants beside.
struct Wish {
  bool across = false;  // the rows of a tile may be images
  bool bare = false;    // it sees to the edges itself
  Index whole = 1;      // bands are to be multiples of so many cells
  Index pixels = PIXELS;  // of a piece, at least
  Index beside = 0;     // floats for each cell of the result that a piece keeps, too
};

// The layout for walks that begin in `phases` places along each axis; `walk(axis, phase)` is each of them.
template <typename WalkOf>
Layout lay(const Array& source, const Index* phases, const WalkOf& walk, const Wish& wish = {}) {
  Layout l;
  l.source = &source, l.padded = false, l.axis = AXES - 1;
  Index area = 1, count[AXES], reach[AXES];
  for (int a = AXES - 1; a >= 0; a--) {
    count[a] = walk(a, 0).count;  // the first phase has the most cells
    l.low[a] = 0, reach[a] = 1;
    for (Index f = 0; f < phases[a]; f++) {
      Walk w = walk(a, f);
      if (!w.taps) continue;
      Index end = w.offset + (w.taps - 1) * w.apart + 1;
      l.low[a] = smaller(l.low[a], w.offset), reach[a] = end > reach[a] ? end : reach[a];
      if (w.offset < 0 || (w.count - 1) * w.read + end > source.size[a]) l.padded = true;
    }
    if (count[a] > 1) l.axis = a;
    area *= count[a];
  }
  l.padded = l.padded && !wish.bare;
  l.across = l.padded && wish.across && source.batch >= FEW_IMAGES;
  // Images whose pixels would push each other out of the cache are copied as well, a line further apart.
  if (l.across) l.padded = source.image * sizeof(float) % (PAGE / 2) == 0;
  l.read = walk(l.axis, 0).read;
  l.images = l.bands = 1, l.band = count[l.axis];
  if (l.across) {
    l.images = ceil_div(source.batch, ceil_div(source.batch, ROWS));
  } else if (area < wish.pixels) {
    l.images = smaller(ceil_div(wish.pixels, area), source.batch);
  }
  Index slice = area / count[l.axis], heavy = source.image / source.size[l.axis] * l.read;
  auto too_much = [&] {
    return ceil_div(source.batch, l.images) * l.bands < PIECES ||
           l.band * l.images * (l.padded * heavy + slice * wish.beside) > NEAR;
  };
  while (l.images * l.band * slice >= 2 * wish.pixels && too_much()) {
    Index half = ceil_div(ceil_div(l.band, 2), wish.whole) * wish.whole;
    if (half >= l.band) break;
    l.band = half, l.bands = ceil_div(count[l.axis], half);
  }
  for (int a = 0; a < AXES; a++) {
    if (!l.padded) l.low[a] = 0;
    l.extent[a] = ((a == l.axis ? l.band : count[a]) - 1) * walk(a, 0).read + reach[a] - l.low[a];
    l.step[a] = source.step[a];
  }
  l.image = source.image;
  if (l.padded) {
    l.step[2] = source.channels, l.step[1] = l.extent[2] * l.step[2], l.step[0] = l.extent[1] * l.step[1];
    l.image = l.extent[0] * l.step[0];
    if (l.across) l.image = (ceil_div(l.image, LINE) | 1) * LINE;
  }
  return l;
}

// Offsets in the source of the taps of three walks, in the order of their cells.
// `own(i)` is told the kernel's tap behind entry i.
template <typename Own>
void list_taps(const Layout& l, const Walk* w, const Window& window, Index* offsets, const Own& own) {
  Index n = 0;
  for (Index p = 0; p < w[0].taps; p++)
    for (Index q = 0; q < w[1].taps; q++)
      for (Index r = 0; r < w[2].taps; r++) {
        Index at[AXES] = {p, q, r}, offset = 0, tap = 0;
        for (int a = 0; a < AXES; a++) {
          offset += (w[a].offset + at[a] * w[a].apart - l.low[a]) * l.step[a];
          tap = tap * window.taps[a] + w[a].first + at[a] * w[a].next;
        }
        own(n, tap);
        offsets[n++] = offset;
      }
}

// Offsets of the pixels of a full piece: where they read, and where they lie in a result. A smaller piece uses the
// beginning of the same table.
Index list_pixels(const Layout& l, const Walk* w, const Array& result, Index* reads, Index* writes) {
  Index n = 0, count[AXES];
  for (int a = 0; a < AXES; a++) count[a] = a == l.axis ? smaller(l.band, w[a].count) : w[a].count;
  for (Index i = 0; i < l.images; i++)
    for (Index p = 0; p < count[0]; p++)
      for (Index q = 0; q < count[1]; q++)
        for (Index r = 0; r < count[2]; r++, n++) {
          Index at[AXES] = {p, q, r};
          reads[n] = i * l.image, writes[n] = i * result.image;
          for (int a = 0; a < AXES; a++) {
            reads[n] += at[a] * w[a].read * l.step[a];
            writes[n] += (w[a].start + at[a] * w[a].write) * result.step[a];
          }
        }
  return n;
}

using Numbers = ffi::Span<const int64_t>;

// The attributes as Python lists them: strides, dilations, cells of nothing before each axis, groups.
Window window_of(ffi::Span<const int64_t> kernel, Numbers numbers) {
  Window w;
  for (int a = 0; a < AXES; a++) {
    w.taps[a] = kernel[a], w.stride[a] = numbers[a], w.dilation[a] = numbers[AXES + a];
    w.before[a] = numbers[2 * AXES + a];
  }
  w.groups = numbers[3 * AXES];
  return w;
}

}  // namespace
