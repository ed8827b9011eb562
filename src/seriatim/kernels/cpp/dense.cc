// y = x · w + bias, with relu if asked; and its two gradients.
//
// x (m, k), w (k, n), bias (n), y (m, n). Every number of the result is one sum in a fixed order.
#include "product.h"

namespace {

constexpr Index BLOCK = 8 * ROWS;  // rows of x that meet a panel while it is in the nearest cache

thread_local Scratch panels_of_b;

// y = a · b (+ bias). b is (k, n), or with `turned` its transpose is (n, k).
void multiply(ffi::ThreadPool& pool, Index m, Index k, Index n, const float* a, const float* b, bool turned,
              const float* bias, bool rectify, float* y) {
  Index panels = ceil_div(n, COLUMNS);
  Index block = panels < 4 ? smaller(BLOCK, ceil_div(ceil_div(m, 2), 4) * 4) : BLOCK;  // few panels: halves of x
  Index blocks = ceil_div(m, block);
  float* packed = panels_of_b.floats(panels * k * COLUMNS);
  // A panel that only a few rows meet is not worth packing, if it can be read where it stands.
  auto in_place = [&](Index j) { return m <= ROWS && !turned && j + COLUMNS <= n; };
  each(pool, panels, m <= ROWS && !turned ? 0 : 4.0 * k * n, [&](Index p) {
    Index j = p * COLUMNS;
    if (turned)
      pack_panel_transposed(b, k, n, k, j, packed + p * k * COLUMNS);
    else if (!in_place(j))
      pack_panel(b, k, n, n, j, packed + p * k * COLUMNS);
  });
  each(pool, panels * blocks, (2.0 * m + 2) * k * n, [&](Index piece) {
    Index p = piece % panels, from = piece / panels * block, to = smaller(from + block, m);
    Index j = p * COLUMNS, wide = smaller(n - j, COLUMNS);
    Tile start;
    clear(start);
    if (bias != nullptr) {
      Vec left = load_some(bias + j, smaller(wide, LANES));
      Vec right = wide > LANES ? load_some(bias + j + LANES, wide - LANES) : Vec{};
      for (int i = 0; i < ROWS; i++) start.at[i][0] = left, start.at[i][1] = right;
    }
    const float* panel = in_place(j) ? b + j : packed + p * k * COLUMNS;
    Index step = in_place(j) ? n : COLUMNS;
    for (Index i = from; i < to; i += ROWS) {
      Tile c = start;
      const float* rows[ROWS];
      Index here = smaller(to - i, ROWS);
      for (Index r = 0; r < here; r++) rows[r] = a + (i + r) * k;
      with_tile(here, wide, [&](auto r, auto v) { add_rows<r, v>(c, rows, k, panel, step); });
      for (Index r = 0; r < here; r++) {
        if (rectify) c.at[r][0] = relu(c.at[r][0]), c.at[r][1] = relu(c.at[r][1]);
        put(y + (i + r) * n + j, c, r, wide);
      }
    }
  });
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats w, Floats bias,
                   bool rectify, FloatsOut y) {
  Index m = x.dimensions()[0], k = x.dimensions()[1], n = w.dimensions()[1];
  multiply(pool, m, k, n, x.typed_data(), w.typed_data(), false, bias.element_count() ? bias.typed_data() : nullptr,
           rectify, y->typed_data());
  return ffi::Error::Success();
}

// dx = dy · wᵀ
ffi::Error input_gradient(ffi::ThreadPool pool, Floats dy, Floats w,
                          FloatsOut dx) {
  Index m = dy.dimensions()[0], n = dy.dimensions()[1], k = w.dimensions()[0];
  multiply(pool, m, n, k, dy.typed_data(), w.typed_data(), true, nullptr, false, dx->typed_data());
  return ffi::Error::Success();
}

// dw = xᵀ · dy, dbias = Σ dy
ffi::Error weight_gradient(ffi::ThreadPool pool, Floats x, Floats dy,
                           FloatsOut dw, FloatsOut dbias) {
  Index m = x.dimensions()[0], k = x.dimensions()[1], n = dy.dimensions()[1];
  const float* a = x.typed_data();
  float *c = dw->typed_data(), *sums = dbias->typed_data();
  Index panels = ceil_div(n, COLUMNS);
  constexpr Index TALL = 8 * ROWS;  // rows of dw in one piece
  Index blocks = ceil_div(k, TALL);
  float* packed = panels_of_b.floats(panels * m * COLUMNS);
  each(pool, panels, 4.0 * m * n, [&](Index p) {
    Index j = p * COLUMNS, wide = smaller(n - j, COLUMNS);
    float* panel = packed + p * m * COLUMNS;
    pack_panel(dy.typed_data(), m, n, n, j, panel);
    Vec left = {}, right = {};
    for (Index i = 0; i < m; i++) left += load(panel + i * COLUMNS), right += load(panel + i * COLUMNS + LANES);
    store_some(sums + j, left, smaller(wide, LANES));
    if (wide > LANES) store_some(sums + j + LANES, right, wide - LANES);
  });
  each(pool, panels * blocks, 2.0 * m * k * n, [&](Index piece) {
    Index p = piece % panels, from = piece / panels * TALL, to = smaller(from + TALL, k);
    Index j = p * COLUMNS, wide = smaller(n - j, COLUMNS);
    for (Index i = from; i < to; i += ROWS) {
      Tile tile;
      clear(tile);
      Index here = smaller(to - i, ROWS);
      with_tile(here, wide, [&](auto r, auto v) { add_columns<r, v>(tile, a + i, k, m, packed + p * m * COLUMNS, COLUMNS); });
      for (Index r = 0; r < here; r++) put(c + (i + r) * n + j, tile, r, wide);
    }
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(dense_forward, forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Attr<bool>("relu").Ret<Floats>());
KERNEL(dense_input_gradient, input_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Ret<Floats>());
KERNEL(dense_weight_gradient, weight_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Ret<Floats>().Ret<Floats>());
