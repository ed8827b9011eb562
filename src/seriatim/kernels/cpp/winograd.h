// Convolution with windows of 3 × 3 cells that move by one: four results from sixteen products instead of thirty-six.
//
// F(2 × 2, 3 × 3) of Winograd 1980 in the form of Lavin & Gray 2016: Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A for each block of
// 2 × 2 results. The entries of A and B are 0 and ±1, those of G ½ and 1, so that little precision goes.
#pragma once

#include "slide.h"

namespace {

constexpr int PARTS = 16;             // of a block, transformed
constexpr Index BLOCKS = 4 * ROWS;    // made at once
constexpr Index FEWEST_CHANNELS = 16;  // on either side: with fewer, transforming costs more than it saves

thread_local Scratch own_parts, own_products;  // each thread's own
thread_local Scratch sums_of_units;            // the caller's

// Whether to go by blocks: where windows of 3 × 3 move by one, and the products saved outweigh the transforming
// (about 8 steps a channel and 6 a filter, and shorter products; measured).
INLINE bool by_blocks(const Window& w, const Array& source, const Array& result) {
  bool square = w.taps[0] == 1 && w.before[0] == 0 && w.taps[1] == 3 && w.taps[2] == 3 && w.groups == 1;
  for (int a = 0; a < AXES; a++) square = square && w.stride[a] == 1 && w.dilation[a] == 1;
  if (!square || smaller(source.channels, result.channels) < FEWEST_CHANNELS) return false;
  double deep = source.channels, wide = result.channels;
  double blocks = ceil_div(result.size[1], 2) * ceil_div(result.size[2], 2);
  double windows = smaller(source.size[1], result.size[1]) * smaller(source.size[2], result.size[2]);
  return 1.2 * blocks * (deep * wide + 8 * deep + 6 * wide) < windows * 9 / 16 * deep * wide;
}

// The blocks of a piece of a result: of each image and slice row by row.
struct Blocks {
  Index count, cells[AXES], first[AXES], high, wide;

  Blocks(const Layout& l, Index piece, const Walk* walks) {
    for (int a = 0; a < AXES; a++)
      cells[a] = l.cells_of(piece, walks, a), first[a] = a == l.axis ? l.first_cell(piece) : 0;
    high = ceil_div(cells[1], 2), wide = ceil_div(cells[2], 2);
    count = l.images_of(piece) * cells[0] * high * wide;
  }
  // Image, slice, row and column of a block's first cell, within the piece.
  void place(Index block, Index* at) const {
    at[3] = block % wide * 2, block /= wide;
    at[2] = block % high * 2, block /= high;
    at[1] = block % cells[0], at[0] = block / cells[0];
  }
};

// parts[i · 4 + j] = (Bᵀ d B)[i][j]
INLINE void transform_cells(const Vec (&d)[4][4], Vec (&parts)[PARTS]) {
  Vec t[4][4];
  for (int j = 0; j < 4; j++) {
    t[0][j] = d[0][j] - d[2][j], t[1][j] = d[1][j] + d[2][j];
    t[2][j] = d[2][j] - d[1][j], t[3][j] = d[1][j] - d[3][j];
  }
  for (int i = 0; i < 4; i++) {
    parts[i * 4] = t[i][0] - t[i][2], parts[i * 4 + 1] = t[i][1] + t[i][2];
    parts[i * 4 + 2] = t[i][2] - t[i][1], parts[i * 4 + 3] = t[i][1] - t[i][3];
  }
}

// y[i][j] = (Aᵀ parts A)[i][j]
INLINE void transform_products(const Vec (&parts)[PARTS], Vec (&y)[2][2]) {
  Vec t[2][4];
  for (int j = 0; j < 4; j++) {
    t[0][j] = parts[j] + parts[4 + j] + parts[8 + j];
    t[1][j] = parts[4 + j] - parts[8 + j] - parts[12 + j];
  }
  for (int i = 0; i < 2; i++) y[i][0] = t[i][0] + t[i][1] + t[i][2], y[i][1] = t[i][1] - t[i][2] - t[i][3];
}

// panels[i · 4 + j] = (G g Gᵀ)[i][j], where taps[k · 3 + l] are the panels of g[k][l], `size` floats each.
inline void transform_kernel(const float* taps, Index size, float* panels, Index apart) {
  for (Index at = 0; at < size; at += LANES) {
    Vec g[3][3], t[4][3];
    for (int k = 0; k < 9; k++) g[k / 3][k % 3] = load(taps + k * size + at);
    for (int l = 0; l < 3; l++) {
      t[0][l] = g[0][l], t[3][l] = g[2][l];
      t[1][l] = (g[0][l] + g[1][l] + g[2][l]) * 0.5f, t[2][l] = (g[0][l] - g[1][l] + g[2][l]) * 0.5f;
    }
    for (int i = 0; i < 4; i++) {
      float* to = panels + i * 4 * apart + at;
      store(to, t[i][0]), store(to + 3 * apart, t[i][2]);
      store(to + apart, (t[i][0] + t[i][1] + t[i][2]) * 0.5f);
      store(to + 2 * apart, (t[i][0] - t[i][1] + t[i][2]) * 0.5f);
    }
  }
}

// The parts of `n` blocks of the source from `begin` on: parts[part][block][channel]. Beyond the edge there is nothing.
inline void cells_to_parts(const Layout& l, Index piece, const Walk* w, const Blocks& blocks, Index begin, Index n,
                           const float* data, float* parts) {
  const Array& source = *l.source;
  Index deep = source.channels;
  for (Index b = 0; b < n; b++) {
    Index at[4];
    blocks.place(begin + b, at);
    const float* image = data + (l.first_image(piece) + at[0]) * source.image +
                         (blocks.first[0] + at[1]) * source.step[0];
    const float* cells[4][4];
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++) {
        Index y = blocks.first[1] + at[2] + w[1].offset + i, x = blocks.first[2] + at[3] + w[2].offset + j;
        bool within = y >= 0 && y < source.size[1] && x >= 0 && x < source.size[2];
        cells[i][j] = within ? image + y * source.step[1] + x * source.step[2] : nullptr;
      }
    for (Index c = 0; c < deep; c += LANES) {
      Index lanes = smaller(deep - c, LANES);
      Vec d[4][4], part[PARTS];
      for (int k = 0; k < PARTS; k++) {
        const float* cell = cells[k / 4][k % 4];
        d[k / 4][k % 4] = cell != nullptr ? load_some(cell + c, lanes) : Vec{};
      }
      transform_cells(d, part);
      for (int k = 0; k < PARTS; k++) store_some(parts + (k * BLOCKS + b) * deep + c, part[k], lanes);
    }
  }
}

// One piece of result = Σ_taps source · kernel (+ bias), from the transformed kernel: panels[part][panel][channel].
// `image` floats lie between the images of `to`.
inline void slide_by_blocks(const Layout& l, Index piece, const Walk* w, const float* data, const Array& result,
                            const float* panels, const float* bias, bool rectify, float* to, Index image) {
  Blocks blocks(l, piece, w);
  Index deep = l.source->channels, wide = result.channels, count = ceil_div(wide, COLUMNS);
  float* parts = own_parts.floats(PARTS * BLOCKS * deep);
  float* products = own_products.floats(PARTS * BLOCKS * COLUMNS);
  for (Index begin = 0; begin < blocks.count; begin += BLOCKS) {
    Index n = smaller(blocks.count - begin, BLOCKS);
    cells_to_parts(l, piece, w, blocks, begin, n, data, parts);
    for (Index p = 0; p < count; p++) {
      Index j = p * COLUMNS, columns = smaller(wide - j, COLUMNS);
      for (Index part = 0; part < PARTS; part++)
        for (Index r = 0; r < n; r += ROWS) {
          Tile c;
          clear(c);
          const float* rows[ROWS];
          Index high = smaller(n - r, ROWS);
          for (Index i = 0; i < high; i++) rows[i] = parts + (part * BLOCKS + r + i) * deep;
          const float* panel = panels + (part * count + p) * deep * COLUMNS;
          with_tile(high, columns, [&](auto n, auto v) { add_rows<n, v>(c, rows, deep, panel, COLUMNS); });
          for (Index i = 0; i < high; i++)
            for (int v = 0; v < 2; v++) store(products + (part * BLOCKS + r + i) * COLUMNS + v * LANES, c.at[i][v]);
        }
      for (Index b = 0; b < n; b++) {
        Index at[4];
        blocks.place(begin + b, at);
        float* block = to + at[0] * image + at[1] * result.step[0] + at[2] * result.step[1] + at[3] * result.step[2];
        Index high = smaller(blocks.cells[1] - at[2], 2), across = smaller(blocks.cells[2] - at[3], 2);
        for (Index v = 0; v < columns; v += LANES) {
          Index lanes = smaller(columns - v, LANES);
          Vec part[PARTS], y[2][2], start = bias != nullptr ? load_some(bias + j + v, lanes) : Vec{};
          for (int k = 0; k < PARTS; k++) part[k] = load(products + (k * BLOCKS + b) * COLUMNS + v);
          transform_products(part, y);
          for (Index i = 0; i < high; i++)
            for (Index x = 0; x < across; x++) {
              Vec value = y[i][x] + start;
              store_some(block + i * result.step[1] + x * result.step[2] + j + v, rectify ? relu(value) : value, lanes);
            }
        }
      }
    }
  }
}

// parts[i · 4 + j] = (A dy Aᵀ)[i][j]
INLINE void transform_slopes(const Vec (&dy)[2][2], Vec (&parts)[PARTS]) {
  Vec t[4][2];
  for (int j = 0; j < 2; j++)
    t[0][j] = dy[0][j], t[1][j] = dy[0][j] + dy[1][j], t[2][j] = dy[0][j] - dy[1][j], t[3][j] = -dy[1][j];
  for (int i = 0; i < 4; i++) {
    parts[i * 4] = t[i][0], parts[i * 4 + 1] = t[i][0] + t[i][1];
    parts[i * 4 + 2] = t[i][0] - t[i][1], parts[i * 4 + 3] = -t[i][1];
  }
}

// dw[i · 3 + j] = (Gᵀ parts G)[i][j]
INLINE void transform_weights(const Vec (&parts)[PARTS], Vec (&dw)[9]) {
  Vec t[3][4];
  for (int j = 0; j < 4; j++) {
    Vec sum = (parts[4 + j] + parts[8 + j]) * 0.5f;
    t[0][j] = parts[j] + sum, t[1][j] = (parts[4 + j] - parts[8 + j]) * 0.5f, t[2][j] = sum + parts[12 + j];
  }
  for (int i = 0; i < 3; i++) {
    Vec sum = (t[i][1] + t[i][2]) * 0.5f;
    dw[i * 3] = t[i][0] + sum, dw[i * 3 + 1] = (t[i][1] - t[i][2]) * 0.5f, dw[i * 3 + 2] = sum + t[i][3];
  }
}

// The parts of the slopes of `n` blocks, columns `from` to `to`: parts[part][block][column], rows `step` apart.
inline void slopes_to_parts(const Blocks& blocks, const Array& result, Index begin, Index n, const float* dy, Index image,
                            Index from, Index to, Index step, float* parts) {
  for (Index b = 0; b < n; b++) {
    Index at[4];
    blocks.place(begin + b, at);
    const float* block = dy + at[0] * image + at[1] * result.step[0] + at[2] * result.step[1] + at[3] * result.step[2];
    bool below = at[2] + 1 < blocks.cells[1], beside = at[3] + 1 < blocks.cells[2];
    for (Index f = from; f < to; f += LANES) {
      Index lanes = smaller(to - f, LANES);
      const float* cell = block + f;
      Vec y[2][2] = {}, part[PARTS];
      y[0][0] = load_some(cell, lanes);
      if (beside) y[0][1] = load_some(cell + result.step[2], lanes);
      if (below) y[1][0] = load_some(cell + result.step[1], lanes);
      if (below && beside) y[1][1] = load_some(cell + result.step[1] + result.step[2], lanes);
      transform_slopes(y, part);
      for (int k = 0; k < PARTS; k++) store(parts + (k * BLOCKS + b) * step + f, part[k]);
    }
  }
}

// dw and dbias (unless null) of slide_by_blocks, in shares of the pieces whose number depends on the shapes alone.
// `slopes(piece)` is where the piece of dy lies, whose images are `image` floats apart.
template <typename Slopes>
void sum_by_blocks(ffi::ThreadPool& pool, const Layout& l, const Walk* w, const float* data, const Array& result,
                   Index image, const Slopes& slopes, float* dw, float* dbias) {
  Index deep = l.source->channels, wide = result.channels, count = ceil_div(wide, COLUMNS), units = l.pieces();
  Index area = deep * wide, size = PARTS * area + wide, shares = smaller(units, 16), most = (1 << 20) / size;
  shares = smaller(shares, most < 1 ? 1 : most);
  Index cuts = shares >= 8 ? 1 : smaller(count, ceil_div(16, shares));
  float* sums = sums_of_units.floats(shares * size);
  each(pool, shares * cuts, 8.0 * result.batch * result.image * deep, [&](Index piece) {
    Index share = piece / cuts, first_panel = piece % cuts * count / cuts, last = (piece % cuts + 1) * count / cuts;
    float* own = sums + share * size;
    float* parts = own_parts.floats(PARTS * BLOCKS * deep);
    float* steep = own_products.floats(PARTS * BLOCKS * count * COLUMNS);
    bool fresh = true;
    for (Index unit = share * units / shares; unit < (share + 1) * units / shares; unit++) {
      Blocks blocks(l, unit, w);
      const float* dy = slopes(unit);
      for (Index begin = 0; begin < blocks.count; begin += BLOCKS) {
        Index n = smaller(blocks.count - begin, BLOCKS);
        cells_to_parts(l, unit, w, blocks, begin, n, data, parts);
        slopes_to_parts(blocks, result, begin, n, dy, image, first_panel * COLUMNS, smaller(last * COLUMNS, wide),
                        count * COLUMNS, steep);
        for (Index p = first_panel; p < last; p++)
          for (Index part = 0; part < PARTS; part++)
            for (Index r = 0; r < deep; r += ROWS) {
              Index high = smaller(deep - r, ROWS), columns = smaller(wide - p * COLUMNS, COLUMNS);
              float* to = own + (part * deep + r) * wide + p * COLUMNS;
              Tile c;
              clear(c);
              for (Index i = 0; i < high && !fresh; i++)
                for (int v = 0; v * LANES < columns; v++)
                  c.at[i][v] = load_some(to + i * wide + v * LANES, columns - v * LANES);
              const float* a = parts + part * BLOCKS * deep + r;
              const float* b = steep + part * BLOCKS * count * COLUMNS + p * COLUMNS;
              with_tile(high, columns, [&](auto h, auto v) { add_columns<h, v>(c, a, deep, n, b, count * COLUMNS); });
              for (Index i = 0; i < high; i++) put(to + i * wide, c, i, columns);
            }
        if (begin == 0 && dbias != nullptr)
          for (Index f = first_panel * COLUMNS; f < smaller(last * COLUMNS, wide); f += LANES) {
            Index lanes = smaller(wide - f, LANES);
            Vec sum = column_sum(dy + f, wide, l.pixels_of(unit, w), lanes);
            float* to = own + PARTS * area + f;
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
      Vec parts[PARTS], found[9];
      for (int k = 0; k < PARTS; k++) parts[k] = total(k * area + at, lanes);
      transform_weights(parts, found);
      for (int k = 0; k < 9; k++) store_some(dw + k * area + at, found[k], lanes);
    }
  });
  for (Index f = 0; dbias != nullptr && f < wide; f += LANES)
    store_some(dbias + f, total(PARTS * area + f, smaller(wide - f, LANES)), smaller(wide - f, LANES));
}

}  // namespace
