// Convolution with windows of a few cells that move by one: blocks of results from fewer products.
//
// M results of a window of R cells take M + R - 1 products instead of M · R, if polynomials are multiplied by their
// values (Toom 1963, Cook 1966, Winograd 1980). Along two axes what is saved multiplies, in the form of Lavin & Gray
// 2016: Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A for each block of results. Among points, a number beside its reciprocal with
// the other sign costs least precision (Barabasz et al. 2020): 1e-6 of the largest result for 4 × 4 at once.
#pragma once

#include <numeric>
#include <tuple>
#include <utility>

#include "slide.h"

namespace {

constexpr double POINTS[] = {0, -1, 1, 0.5, -2};  // and, last, infinity
constexpr Index FEWEST_CHANNELS = 16;  // on either side: with fewer, transforming costs more than it saves

thread_local Scratch own_parts, own_products;  // each thread's own
thread_local Scratch sums_of_units;            // the caller's

// RESULTS of a window of TAPS cells along one axis, from PARTS products. Line<1, 1> is no window.
template <int RESULTS_, int TAPS_>
struct Line {
  static constexpr int RESULTS = RESULTS_, TAPS = TAPS_, PARTS = RESULTS + TAPS - 1;

  static constexpr double power(double x, int n) { return n == 0 ? 1 : x * power(x, n - 1); }
  // Aᵀ: what part p gives to result m.
  static constexpr float result(int m, int p) { return p == PARTS - 1 ? m == RESULTS - 1 : power(POINTS[p], m); }
  // G: what tap r gives to part p.
  static constexpr float tap(int p, int r) {
    if (p == PARTS - 1) return r == TAPS - 1;
    double between = 1;
    for (int q = 0; q < PARTS - 1; q++) between *= q == p ? 1 : POINTS[p] - POINTS[q];
    return power(POINTS[p], r) / between;
  }
  // Bᵀ: what cell j gives to part p, the coefficient of x^j in Π (x − points but p).
  static constexpr float cell(int p, int j) {
    double polynomial[PARTS + 1] = {1};
    for (int q = 0; q < PARTS - 1; q++)
      for (int k = PARTS; k >= 0 && q != p; k--)
        polynomial[k] = (k > 0 ? polynomial[k - 1] : 0) - POINTS[q] * polynomial[k];
    return polynomial[j];
  }
};

// The matrices of a Line, TO × FROM.
template <typename L>
struct Cells {
  static constexpr int TO = L::PARTS, FROM = L::PARTS;
  static constexpr float at(int i, int j) { return L::cell(i, j); }
};
template <typename L>
struct Taps {
  static constexpr int TO = L::PARTS, FROM = L::TAPS;
  static constexpr float at(int i, int j) { return L::tap(i, j); }
};
template <typename L>
struct Results {
  static constexpr int TO = L::RESULTS, FROM = L::PARTS;
  static constexpr float at(int i, int j) { return L::result(i, j); }
};
template <typename Matrix>
struct Transposed {
  static constexpr int TO = Matrix::FROM, FROM = Matrix::TO;
  static constexpr float at(int i, int j) { return Matrix::at(j, i); }
};

template <typename Body, int... I>
INLINE void each_number(std::integer_sequence<int, I...>, const Body& body) {
  (body(std::integral_constant<int, I>{}), ...);
}
// body(0), …, body(N − 1), as constants.
template <int N, typename Body>
INLINE void each_number(const Body& body) {
  each_number(std::make_integer_sequence<int, N>{}, body);
}

// Row i of a matrix times a vector; zeros and ones cost nothing.
template <typename Matrix, int I>
INLINE Vec row_times(const Vec* from, int step) {
  Vec sum = {};
  bool empty = true;
  each_number<Matrix::FROM>([&](auto j) {
    constexpr float weight = Matrix::at(I, decltype(j)::value);
    if constexpr (weight != 0) {
      Vec x = from[j * step], term = weight == 1 ? x : weight == -1 ? -x : weight * x;
      sum = empty ? term : sum + term, empty = false;
    }
  });
  return sum;
}

// to = H · from · Wᵀ, with rows of W::FROM and W::TO.
template <typename H, typename W>
INLINE void transform(const Vec* from, Vec* to) {
  Vec half[H::TO * W::FROM];
  each_number<W::FROM>([&](auto j) {
    each_number<H::TO>([&](auto i) { half[i * W::FROM + j] = row_times<H, decltype(i)::value>(from + j, W::FROM); });
  });
  each_number<H::TO>([&](auto i) {
    each_number<W::TO>([&](auto j) { to[i * W::TO + j] = row_times<W, decltype(j)::value>(half + i * W::FROM, 1); });
  });
}

// Blocks of HIGH × WIDE results.
template <typename H, typename W>
struct Scheme {
  using High = H;
  using Wide = W;
  static constexpr int HIGH = H::RESULTS, WIDE = W::RESULTS, PARTS = H::PARTS * W::PARTS;
  static constexpr int CELLS = HIGH * WIDE, TAPS = H::TAPS * W::TAPS;
  static constexpr Index BLOCKS = (PARTS > 16 ? 2 : 4) * ROWS;  // made at once
  static constexpr double STEPS = PARTS > 16 ? 5 : 2;           // of transforming, for each part of a cell
};

using Schemes = std::tuple<Scheme<Line<2, 3>, Line<2, 3>>, Scheme<Line<4, 3>, Line<4, 3>>,
                           Scheme<Line<1, 1>, Line<4, 3>>, Scheme<Line<1, 1>, Line<2, 5>>>;

// One of them, by its number; or none.
struct Blocking {
  int number = -1;
  Index parts = 0, high = 1, wide = 1;  // of a block

  explicit operator bool() const { return number >= 0; }
  // What a layout has to offer: whole blocks, and enough of them for some tiles.
  void ask(Wish& wish, const Array& result) const {
    if (number < 0) return;
    wish.bare = true, wish.pixels = 2 * ROWS * high * wide;
    wish.whole = std::lcm(wish.whole, result.size[1] > 1 ? high : wide);
  }
  // body(scheme) with the one.
  template <typename Body>
  void with_scheme(const Body& body) const {
    each_number<std::tuple_size_v<Schemes>>([&](auto i) {
      if (i == number) body(std::tuple_element_t<decltype(i)::value, Schemes>{});
    });
  }
};

// The one with the least work, if windows move by one and the products saved outweigh the transforming (measured).
INLINE Blocking blocking_of(const Window& w, const Array& source, const Array& result) {
  bool by_one = w.taps[0] == 1 && w.before[0] == 0 && w.groups == 1;
  for (int a = 0; a < AXES; a++) by_one = by_one && w.stride[a] == 1 && w.dilation[a] == 1;
  if (!by_one || smaller(source.channels, result.channels) < FEWEST_CHANNELS) return {};
  double deep = source.channels, wide = result.channels;
  double windows = smaller(source.size[1], result.size[1]) * smaller(source.size[2], result.size[2]);
  double least = windows * w.taps[1] * w.taps[2] * deep * wide;
  Blocking best;
  each_number<std::tuple_size_v<Schemes>>([&](auto i) {
    using S = std::tuple_element_t<decltype(i)::value, Schemes>;
    double blocks = ceil_div(result.size[1], S::HIGH) * ceil_div(result.size[2], S::WIDE);
    double cost = 1.2 * blocks * S::PARTS * (deep * wide + S::STEPS * (4 * deep + 3 * wide));
    if (w.taps[1] == S::High::TAPS && w.taps[2] == S::Wide::TAPS && cost < least)
      least = cost, best.number = i, best.parts = S::PARTS, best.high = S::HIGH, best.wide = S::WIDE;
  });
  return best;
}

// The blocks of a piece of a result: of each image and slice row by row.
template <typename S>
struct Blocks {
  Index count, cells[AXES], first[AXES], high, wide;

  Blocks(const Layout& l, Index piece, const Walk* walks) {
    for (int a = 0; a < AXES; a++)
      cells[a] = l.cells_of(piece, walks, a), first[a] = a == l.axis ? l.first_cell(piece) : 0;
    high = ceil_div(cells[1], S::HIGH), wide = ceil_div(cells[2], S::WIDE);
    count = l.images_of(piece) * cells[0] * high * wide;
  }
  // Image, slice, row and column of a block's first cell, within the piece.
  void place(Index block, Index* at) const {
    at[3] = block % wide * S::WIDE, block /= wide;
    at[2] = block % high * S::HIGH, block /= high;
    at[1] = block % cells[0], at[0] = block / cells[0];
  }
  // body(i, j) for each of its cells within the piece.
  template <typename Body>
  INLINE void each_cell(const Index* at, const Body& body) const {
    Index rows = smaller(cells[1] - at[2], S::HIGH), columns = smaller(cells[2] - at[3], S::WIDE);
    for (Index i = 0; i < rows; i++)
      for (Index j = 0; j < columns; j++) body(i, j);
  }
};

// panels[part] = G g Gᵀ, where taps[k · TAPS + l] are the panels of g[k][l], `size` floats each.
template <typename S>
void transform_kernel(const float* taps, Index size, float* panels, Index apart) {
  for (Index at = 0; at < size; at += LANES) {
    Vec g[S::TAPS], part[S::PARTS];
    for (int k = 0; k < S::TAPS; k++) g[k] = load(taps + k * size + at);
    transform<Taps<typename S::High>, Taps<typename S::Wide>>(g, part);
    for (int k = 0; k < S::PARTS; k++) store(panels + k * apart + at, part[k]);
  }
}

// The parts of `n` blocks of the source from `begin` on: parts[part][block][channel]. Beyond the edge there is nothing.
template <typename S>
void cells_to_parts(const Layout& l, Index piece, const Walk* w, const Blocks<S>& blocks, Index begin, Index n,
                    const float* data, float* parts) {
  constexpr int WIDE = S::Wide::PARTS;
  const Array& source = *l.source;
  Index deep = source.channels;
  for (Index b = 0; b < n; b++) {
    Index at[4];
    blocks.place(begin + b, at);
    const float* image = data + (l.first_image(piece) + at[0]) * source.image +
                         (blocks.first[0] + at[1]) * source.step[0];
    const float* cells[S::PARTS];
    for (int k = 0; k < S::PARTS; k++) {
      Index y = blocks.first[1] + at[2] + w[1].offset + k / WIDE, x = blocks.first[2] + at[3] + w[2].offset + k % WIDE;
      bool within = y >= 0 && y < source.size[1] && x >= 0 && x < source.size[2];
      cells[k] = within ? image + y * source.step[1] + x * source.step[2] : nullptr;
    }
    for (Index c = 0; c < deep; c += LANES) {
      Index lanes = smaller(deep - c, LANES);
      Vec d[S::PARTS], part[S::PARTS];
      for (int k = 0; k < S::PARTS; k++) d[k] = cells[k] != nullptr ? load_some(cells[k] + c, lanes) : Vec{};
      transform<Cells<typename S::High>, Cells<typename S::Wide>>(d, part);
      for (int k = 0; k < S::PARTS; k++) store_some(parts + (k * S::BLOCKS + b) * deep + c, part[k], lanes);
    }
  }
}

// One piece of result = Σ_taps source · kernel (+ bias), from the transformed kernel: panels[part][panel][channel].
// `image` floats lie between the images of `to`.
template <typename S>
void slide_by_blocks(const Layout& l, Index piece, const Walk* w, const float* data, const Array& result,
                     const float* panels, const float* bias, bool rectify, float* to, Index image) {
  Blocks<S> blocks(l, piece, w);
  Index deep = l.source->channels, wide = result.channels, count = ceil_div(wide, COLUMNS);
  float* parts = own_parts.floats(S::PARTS * S::BLOCKS * deep);
  float* products = own_products.floats(S::PARTS * S::BLOCKS * COLUMNS);
  for (Index begin = 0; begin < blocks.count; begin += S::BLOCKS) {
    Index n = smaller(blocks.count - begin, S::BLOCKS);
    cells_to_parts(l, piece, w, blocks, begin, n, data, parts);
    for (Index p = 0; p < count; p++) {
      Index j = p * COLUMNS, columns = smaller(wide - j, COLUMNS);
      for (Index part = 0; part < S::PARTS; part++)
        for (Index r = 0; r < n; r += ROWS) {
          Tile c;
          clear(c);
          const float* rows[ROWS];
          Index high = smaller(n - r, ROWS);
          for (Index i = 0; i < high; i++) rows[i] = parts + (part * S::BLOCKS + r + i) * deep;
          const float* panel = panels + (part * count + p) * deep * COLUMNS;
          with_tile(high, columns, [&](auto n, auto v) { add_rows<n, v>(c, rows, deep, panel, COLUMNS); });
          for (Index i = 0; i < high; i++)
            for (int v = 0; v < 2; v++) store(products + (part * S::BLOCKS + r + i) * COLUMNS + v * LANES, c.at[i][v]);
        }
      for (Index b = 0; b < n; b++) {
        Index at[4];
        blocks.place(begin + b, at);
        float* block = to + at[0] * image + at[1] * result.step[0] + at[2] * result.step[1] + at[3] * result.step[2];
        for (Index v = 0; v < columns; v += LANES) {
          Index lanes = smaller(columns - v, LANES);
          Vec part[S::PARTS], y[S::CELLS], start = bias != nullptr ? load_some(bias + j + v, lanes) : Vec{};
          for (int k = 0; k < S::PARTS; k++) part[k] = load(products + (k * S::BLOCKS + b) * COLUMNS + v);
          transform<Results<typename S::High>, Results<typename S::Wide>>(part, y);
          blocks.each_cell(at, [&](Index i, Index x) {
            Vec value = y[i * S::WIDE + x] + start;
            store_some(block + i * result.step[1] + x * result.step[2] + j + v, rectify ? relu(value) : value, lanes);
          });
        }
      }
    }
  }
}

// The parts of the slopes of `n` blocks, columns `from` to `to`: parts[part][block][column], rows `step` apart.
template <typename S>
void slopes_to_parts(const Blocks<S>& blocks, const Array& result, Index begin, Index n, const float* dy, Index image,
                     Index from, Index to, Index step, float* parts) {
  for (Index b = 0; b < n; b++) {
    Index at[4];
    blocks.place(begin + b, at);
    const float* block = dy + at[0] * image + at[1] * result.step[0] + at[2] * result.step[1] + at[3] * result.step[2];
    for (Index f = from; f < to; f += LANES) {
      Index lanes = smaller(to - f, LANES);
      Vec y[S::CELLS] = {}, part[S::PARTS];
      blocks.each_cell(at, [&](Index i, Index j) {
        y[i * S::WIDE + j] = load_some(block + i * result.step[1] + j * result.step[2] + f, lanes);
      });
      transform<Transposed<Results<typename S::High>>, Transposed<Results<typename S::Wide>>>(y, part);
      for (int k = 0; k < S::PARTS; k++) store(parts + (k * S::BLOCKS + b) * step + f, part[k]);
    }
  }
}

// dw and dbias (unless null) of slide_by_blocks, in shares of the pieces whose number depends on the shapes alone.
// `slopes(piece)` is where the piece of dy lies, whose images are `image` floats apart.
template <typename S, typename SlopesOf>
void sum_by_blocks(ffi::ThreadPool& pool, const Layout& l, const Walk* w, const float* data, const Array& result,
                   Index image, const SlopesOf& slopes, float* dw, float* dbias) {
  Index deep = l.source->channels, wide = result.channels, count = ceil_div(wide, COLUMNS), units = l.pieces();
  Index area = deep * wide, size = S::PARTS * area + wide, shares = smaller(units, 16), most = (1 << 20) / size;
  shares = smaller(shares, most < 1 ? 1 : most);
  Index cuts = shares >= 8 ? 1 : smaller(count, ceil_div(16, shares));
  float* sums = sums_of_units.floats(shares * size);
  each(pool, shares * cuts, 8.0 * result.batch * result.image * deep, [&](Index piece) {
    Index share = piece / cuts, first_panel = piece % cuts * count / cuts, last = (piece % cuts + 1) * count / cuts;
    float* own = sums + share * size;
    float* parts = own_parts.floats(S::PARTS * S::BLOCKS * deep);
    float* steep = own_products.floats(S::PARTS * S::BLOCKS * count * COLUMNS);
    bool fresh = true;
    for (Index unit = share * units / shares; unit < (share + 1) * units / shares; unit++) {
      Blocks<S> blocks(l, unit, w);
      const float* dy = slopes(unit);
      for (Index begin = 0; begin < blocks.count; begin += S::BLOCKS) {
        Index n = smaller(blocks.count - begin, S::BLOCKS);
        cells_to_parts(l, unit, w, blocks, begin, n, data, parts);
        slopes_to_parts(blocks, result, begin, n, dy, image, first_panel * COLUMNS, smaller(last * COLUMNS, wide),
                        count * COLUMNS, steep);
        for (Index p = first_panel; p < last; p++)
          for (Index part = 0; part < S::PARTS; part++)
            for (Index r = 0; r < deep; r += ROWS) {
              Index high = smaller(deep - r, ROWS), columns = smaller(wide - p * COLUMNS, COLUMNS);
              float* to = own + (part * deep + r) * wide + p * COLUMNS;
              Tile c;
              clear(c);
              for (Index i = 0; i < high && !fresh; i++)
                for (int v = 0; v * LANES < columns; v++)
                  c.at[i][v] = load_some(to + i * wide + v * LANES, columns - v * LANES);
              const float* a = parts + part * S::BLOCKS * deep + r;
              const float* b = steep + part * S::BLOCKS * count * COLUMNS + p * COLUMNS;
              with_tile(high, columns, [&](auto h, auto v) { add_columns<h, v>(c, a, deep, n, b, count * COLUMNS); });
              for (Index i = 0; i < high; i++) put(to + i * wide, c, i, columns);
            }
        if (begin == 0 && dbias != nullptr)
          for (Index f = first_panel * COLUMNS; f < smaller(last * COLUMNS, wide); f += LANES) {
            Index lanes = smaller(wide - f, LANES);
            Vec sum = column_sum(dy + f, wide, l.pixels_of(unit, w), lanes);
            float* to = own + S::PARTS * area + f;
            store_some(to, fresh ? sum : load_some(to, lanes) + sum, lanes);
          }
        fresh = false;
      }
    }
  });
  auto total = [&](Index at, Index lanes) {
    Vec sum = load_some(sums + at, lanes);
    for (Index s = 1; s < shares; s++) sum += load_some(sums + s * size + at, lanes);
    return sum;
  };
  each(pool, deep, 40.0 * shares * area, [&](Index c) {
    for (Index f = 0; f < wide; f += LANES) {
      Index at = c * wide + f, lanes = smaller(wide - f, LANES);
      Vec parts[S::PARTS], found[S::TAPS];
      for (int k = 0; k < S::PARTS; k++) parts[k] = total(k * area + at, lanes);
      transform<Transposed<Taps<typename S::High>>, Transposed<Taps<typename S::Wide>>>(parts, found);
      for (int k = 0; k < S::TAPS; k++) store_some(dw + k * area + at, found[k], lanes);
    }
  });
  for (Index f = 0; dbias != nullptr && f < wide; f += LANES)
    store_some(dbias + f, total(S::PARTS * area + f, smaller(wide - f, LANES)), smaller(wide - f, LANES));
}

}  // namespace
