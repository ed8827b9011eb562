// Convolution over one to three axes, channels last, and its gradients.
//
// y[b, o, f] = Σ_k,c x[b, o · stride + k · dilation − before, c] · w[k, c, f] + bias[f]
//
// Nothing is unrolled into a matrix first: every result is a product whose rows lie where slide.h says.
#include "depthwise.h"
#include "slide.h"

namespace {

thread_local Scratch kernel_panels, sums_of_units;  // the caller's
thread_local Scratch packed_dy;                     // each thread's own

// ---- tiles ------------------------------------------------------------------------------------------------

// c[i] += Σ_t Σ_k rows[i][taps[t] + k] · b[t, k], for R rows of V vectors.
template <int R, int V>
INLINE void add_taps(Tile& c, const float* const* rows, const Index* taps, Index count, Index run, const float* b) {
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = c.at[i][v];
  for (Index t = 0; t < count; t++)
    for (Index k = taps[t], end = k + run; k < end; k++, b += COLUMNS) {
      Vec w[V];
      for (int v = 0; v < V; v++) w[v] = load(b + v * LANES);
      for (int i = 0; i < R; i++) {
        Vec x = all(rows[i][k]);
        for (int v = 0; v < V; v++) sums[i][v] += x * w[v];
      }
    }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) c.at[i][v] = sums[i][v];
}

// c[i] = Σ_p rows[i][pixels[p]] · b[p], for R rows of V vectors.
template <int R, int V>
INLINE void sum_pixels(Tile& c, const float* const* rows, const Index* pixels, Index count, const float* b,
                       Index b_step) {
  Vec sums[R][V] = {};
  for (Index p = 0; p < count; p++, b += b_step) {
    Index k = pixels[p];
    Vec w[V];
    for (int v = 0; v < V; v++) w[v] = load(b + v * LANES);
    for (int i = 0; i < R; i++) {
      Vec x = all(rows[i][k]);
      for (int v = 0; v < V; v++) sums[i][v] += x * w[v];
    }
  }
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) c.at[i][v] = sums[i][v];
}

// Σ_p b[p], one vector of it, in two sums side by side.
INLINE Vec column_sum(const float* b, Index b_step, Index count) {
  Vec even = {}, odd = {};
  Index p = 0;
  for (; p + 2 <= count; p += 2, b += 2 * b_step) even += load(b), odd += load(b + b_step);
  return even + odd + (p < count ? load(b) : Vec{});
}

// ---- result = source slid over ----------------------------------------------------------------------------

// One walk of a result over its source: its tables and its share of the kernel.
struct Pass {
  Walk walks[AXES];
  Index *taps, *reads, *writes, runs, run;
  float* panels;
};

// result = Σ_taps source · kernel (+ bias), for the walks of every phase. `pack(tap, group, column, panel)` lays out
// the columns of the kernel's matrix for one tap.
template <typename WalkOf, typename Pack>
void slide(ffi::ThreadPool& pool, const Window& window, const Array& source, const float* from, const Array& result,
           float* to, const Index* phases, const WalkOf& walk, const Pack& pack, const float* bias, bool rectify) {
  Layout l = lay(source, phases, walk);
  Index groups = window.groups, deep = source.channels / groups, wide = result.channels / groups;
  Index panels = ceil_div(wide, COLUMNS), passes = phases[0] * phases[1] * phases[2];
  Index taps = window.taps[0] * window.taps[1] * window.taps[2];
  Index pixels = l.images * result.size[0] * result.size[1] * result.size[2];
  // All taps and all pixels once: the passes share them out.
  Index room = 2 * taps + 2 * pixels + passes * ceil_div(sizeof(Pass), sizeof(Index));
  Index* free = reinterpret_cast<Index*>(tables.floats(2 * room));
  Pass* pass = reinterpret_cast<Pass*>(free);
  Index* kernel_taps = free + passes * ceil_div(sizeof(Pass), sizeof(Index));
  free = kernel_taps + taps;
  float* packed = kernel_panels.floats(groups * panels * taps * deep * COLUMNS);

  Index done = 0;
  for (Index n = 0; n < passes; n++) {
    Pass& here = pass[n];
    Index phase[AXES] = {n / phases[2] / phases[1], n / phases[2] % phases[1], n % phases[2]};
    for (int a = 0; a < AXES; a++) here.walks[a] = walk(a, phase[a]);
    const Walk* w = here.walks;
    Index count = w[0].taps * w[1].taps * w[2].taps;
    here.taps = free, free += count;
    here.panels = packed + groups * panels * done * deep * COLUMNS;
    here.reads = free;
    list_taps(l, w, window, here.taps, [&](Index i, Index tap) { kernel_taps[done + i] = tap; });
    Index* own = kernel_taps + done;
    // One panel after the other, all taps in it.
    each(pool, groups * panels, 4.0 * groups * wide * count * deep, [&](Index p) {
      float* panel = here.panels + p * count * deep * COLUMNS;
      for (Index t = 0; t < count; t++, panel += deep * COLUMNS) pack(own[t], p / panels, p % panels * COLUMNS, panel);
    });
    done += count;
    // Taps that lie side by side in memory are one longer run.
    here.run = deep, here.runs = count;
    if (groups == 1 && count && w[2].apart * l.step[2] == deep && w[2].taps > 1) {
      here.run = deep * w[2].taps, here.runs = count / w[2].taps;
      for (Index t = 0; t < here.runs; t++) here.taps[t] = here.taps[t * w[2].taps];
    }
    Index most = l.images;
    for (int a = 0; a < AXES; a++) most *= a == l.axis ? smaller(l.band, w[a].count) : w[a].count;
    here.writes = here.reads + most, free = here.writes + most;
    list_pixels(l, w, result, here.reads, here.writes);
  }

  double work = 2.0 * result.batch * result.image / result.channels * wide * groups * deep * taps / passes;
  each(pool, l.pieces(), work, [&](Index piece) {
    const float* box = l.box(from, piece);
    for (Index n = 0; n < passes; n++) {
      const Pass& here = pass[n];
      Index count = l.pixels_of(piece, here.walks), k = here.runs * here.run;
      float* base = to + l.first_image(piece) * result.image +
                    l.first_cell(piece) * here.walks[l.axis].write * result.step[l.axis];
      for (Index p = 0; p < groups * panels; p++) {
        Index j = p % panels * COLUMNS, columns = smaller(wide - j, COLUMNS), column = p / panels * wide + j;
        const float* own = box + p / panels * deep;
        const float* panel = here.panels + p * k * COLUMNS;
        Tile start;
        clear(start);
        if (bias != nullptr) {
          Vec left = load_some(bias + column, smaller(columns, LANES));
          Vec right = columns > LANES ? load_some(bias + column + LANES, columns - LANES) : Vec{};
          for (int i = 0; i < ROWS; i++) start.at[i][0] = left, start.at[i][1] = right;
        }
        for (Index i = 0; i < count; i += ROWS) {
          Tile c = start;
          const float* rows[ROWS];
          Index high = smaller(count - i, ROWS);
          for (Index r = 0; r < high; r++) rows[r] = own + here.reads[i + r];
          with_tile(high, columns, [&](auto r, auto v) {
            add_taps<r, v>(c, rows, here.taps, here.runs, here.run, panel);
          });
          for (Index r = 0; r < high; r++) {
            if (rectify) c.at[r][0] = relu(c.at[r][0]), c.at[r][1] = relu(c.at[r][1]);
            put(base + here.writes[i + r] + column, c, r, columns);
          }
        }
      }
    }
  });
}

// ---- the three calls --------------------------------------------------------------------------------------

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats bias, Numbers numbers, bool rectify,
                   FloatsOut y) {
  Window window = window_of(kernel.dimensions(), numbers);
  Array source(x.dimensions()), result(y->dimensions());
  Index deep = source.channels / window.groups, filters = result.channels, wide = filters / window.groups;
  const float* w = kernel.typed_data();
  Index phases[AXES] = {1, 1, 1};
  if (depthwise(source, result, window)) {
    slide_apart(
        pool, window, source, x.typed_data(), result, y->typed_data(), phases,
        [&](int axis, Index) { return forwards(window, axis, result.size[axis]); }, w,
        bias.element_count() ? bias.typed_data() : nullptr, rectify);
    return ffi::Error::Success();
  }
  slide(
      pool, window, source, x.typed_data(), result, y->typed_data(), phases,
      [&](int axis, Index) { return forwards(window, axis, result.size[axis]); },
      [&](Index tap, Index group, Index j, float* panel) {
        pack_panel(w + tap * deep * filters + group * wide, deep, wide, filters, j, panel);
      },
      bias.element_count() ? bias.typed_data() : nullptr, rectify);
  return ffi::Error::Success();
}

ffi::Error input_gradient(ffi::ThreadPool pool, Floats dy, Floats kernel, Numbers numbers, FloatsOut dx) {
  Window window = window_of(kernel.dimensions(), numbers);
  Array source(dy.dimensions()), result(dx->dimensions());
  Index filters = source.channels, deep = filters / window.groups, wide = result.channels / window.groups;
  const float* w = kernel.typed_data();
  Index phases[AXES];
  for (int a = 0; a < AXES; a++) phases[a] = smaller(window.stride[a], result.size[a]);
  if (depthwise(source, result, window)) {
    slide_apart(
        pool, window, source, dy.typed_data(), result, dx->typed_data(), phases,
        [&](int axis, Index phase) { return backwards(window, axis, result.size[axis], phase); }, w, nullptr, false);
    return ffi::Error::Success();
  }
  slide(
      pool, window, source, dy.typed_data(), result, dx->typed_data(), phases,
      [&](int axis, Index phase) { return backwards(window, axis, result.size[axis], phase); },
      [&](Index tap, Index group, Index j, float* panel) {
        pack_panel_transposed(w + tap * wide * filters + group * deep, deep, wide, filters, j, panel);
      },
      nullptr, false);
  return ffi::Error::Success();
}

// dw[k, c, f] = Σ_pixels x[pixel + k, c] · dy[pixel, f], dbias[f] = Σ_pixels dy[pixel, f]
//
// Units of pixels are summed in registers, units of one share into its own copy of dw, and the shares into dw: the
// number of shares depends on the shapes alone, and no sum is long.
ffi::Error weight_gradient(ffi::ThreadPool pool, Floats x, Floats dy, Numbers numbers, FloatsOut dw, FloatsOut dbias) {
  Window window = window_of(dw->dimensions(), numbers);
  Array source(x.dimensions()), result(dy.dimensions());
  Index groups = window.groups, deep = source.channels / groups, filters = result.channels, wide = filters / groups;
  Index phases[AXES] = {1, 1, 1};
  auto walk = [&](int axis, Index) { return forwards(window, axis, result.size[axis]); };
  Layout l = lay(source, phases, walk);
  Walk walks[AXES] = {walk(0, 0), walk(1, 0), walk(2, 0)};
  Index taps = window.taps[0] * window.taps[1] * window.taps[2], height = taps * deep;

  Index pixels = l.images * result.size[0] * result.size[1] * result.size[2];
  Index* reads = reinterpret_cast<Index*>(tables.floats(2 * (2 * pixels + taps + height)));
  Index *writes = reads + pixels, *tap = writes + pixels, *row = tap + taps;
  list_pixels(l, walks, result, reads, writes);
  list_taps(l, walks, window, tap, [](Index, Index) {});
  for (Index r = 0; r < height; r++) row[r] = tap[r / deep] + r % deep;

  Index each_group = ceil_div(wide, COLUMNS), panels = groups * each_group, units = l.pieces();
  Index size = (height + 1) * filters;  // the last row is dbias
  Index shares = smaller(units, 16), most = (1 << 20) / size;
  shares = smaller(shares, most < 1 ? 1 : most);
  Index parts = shares >= 8 ? 1 : smaller(panels, ceil_div(16, shares));
  float* sums = sums_of_units.floats(shares * size);
  bool packs = wide % LANES != 0 || height > 4 * ROWS;

  double work = 2.0 * result.batch * result.image * height;
  bool apart = depthwise(source, result, window), with_bias = dbias->element_count();
  if (apart) parts = 1;
  each(pool, shares * parts, work, [&](Index piece) {
    Index share = piece / parts, part = piece % parts;
    float* own = sums + share * size;
    for (Index unit = share * units / shares, first = unit; unit < (share + 1) * units / shares; unit++) {
      const float* box = l.box(x.typed_data(), unit);
      const float* dys = dy.typed_data() + l.first_image(unit) * result.image +
                         l.first_cell(unit) * result.step[l.axis];
      Index count = l.pixels_of(unit, walks);
      if (apart) {
        float* bias = with_bias ? own + height * filters : nullptr;
        sum_apart(box, dys, filters, tap, taps, reads, count, unit == first, own, bias);
        continue;
      }
      for (Index p = part * panels / parts; p < (part + 1) * panels / parts; p++) {
        Index j = p % each_group * COLUMNS, columns = smaller(wide - j, COLUMNS), column = p / each_group * wide + j;
        const float* b = dys + column;
        Index b_step = filters;
        if (packs) {
          float* packed = packed_dy.floats(count * COLUMNS);
          pack_panel(dys + p / each_group * wide, count, wide, filters, j, packed);
          b = packed, b_step = COLUMNS;
        }
        auto keep = [&](float* to, Vec sum, Index at) {
          Index n = smaller(columns - at, LANES);
          store_some(to + at, unit == first ? sum : load_some(to + at, n) + sum, n);
        };
        for (Index r = 0; r < height; r += ROWS) {
          Tile c;
          const float* rows[ROWS];
          Index high = smaller(height - r, ROWS);
          for (Index i = 0; i < high; i++) rows[i] = box + p / each_group * deep + row[r + i];
          with_tile(high, columns, [&](auto n, auto v) { sum_pixels<n, v>(c, rows, reads, count, b, b_step); });
          for (Index i = 0; i < high; i++)
            for (Index at = 0; at < columns; at += LANES)
              keep(own + (r + i) * filters + column, c.at[i][at / LANES], at);
        }
        if (with_bias)
          for (Index at = 0; at < columns; at += LANES)
            keep(own + height * filters + column, column_sum(b + at, b_step, count), at);
      }
    }
  });

  constexpr Index STRETCH = 4096;
  auto add_up = [&](float* to, Index from, Index n) {
    for (Index i = 0; i < n; i += LANES) {
      Index here = smaller(n - i, LANES);
      Vec total = load_some(sums + from + i, here);
      for (Index s = 1; s < shares; s++) total += load_some(sums + s * size + from + i, here);
      store_some(to + i, total, here);
    }
  };
  Index all_of_it = height * filters;
  each(pool, ceil_div(all_of_it, STRETCH), 1.0 * shares * all_of_it, [&](Index i) {
    add_up(dw->typed_data() + i * STRETCH, i * STRETCH, smaller(all_of_it - i * STRETCH, STRETCH));
  });
  if (with_bias) add_up(dbias->typed_data(), all_of_it, filters);
  return ffi::Error::Success();
}

}  // namespace

KERNEL(conv_forward, forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<Numbers>("numbers").Attr<bool>("relu").Ret<Floats>());
KERNEL(conv_input_gradient, input_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>());
KERNEL(conv_weight_gradient, weight_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Attr<Numbers>("numbers")
           .Ret<Floats>().Ret<Floats>());
