// Convolution over one to three axes, channels last, and its gradients.
//
// y[b, o, f] = Σ_k,c x[b, o · stride + k · dilation − before, c] · w[k, c, f] + bias[f]
//
// Nothing is unrolled into a matrix first: every result is a product whose rows lie where slide.h says.
#include "depthwise.h"
#include "few.h"
#include "pooled.h"
#include "winograd.h"

namespace {

thread_local Scratch kernel_panels;                  // the caller's
thread_local Scratch packed_dy, own_runs, unpooled;  // each thread's own

// ---- tiles ------------------------------------------------------------------------------------------------

// c[i] += Σ_runs Σ_k rows[i][from + k] · panel[row + k], for R rows of V vectors.
template <int R, int V>
INLINE void add_runs(Tile& c, const float* const* rows, const Run* runs, Index count, const float* panel) {
  Vec sums[R][V];
  for (int i = 0; i < R; i++)
    for (int v = 0; v < V; v++) sums[i][v] = c.at[i][v];
  for (const Run* run = runs; run < runs + count; run++) {
    const float* b = panel + run->row * COLUMNS;
    for (Index k = run->from, end = k + run->length; k < end; k++, b += COLUMNS) {
      Vec w[V];
      for (int v = 0; v < V; v++) w[v] = load(b + v * LANES);
      for (int i = 0; i < R; i++) {
        Vec x = all(rows[i][k]);
        for (int v = 0; v < V; v++) sums[i][v] += x * w[v];
      }
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

// ---- result = source slid over ----------------------------------------------------------------------------

// One walk of a result over its source: its tables and its share of the kernel.
struct Pass {
  Walk walks[AXES];
  Index *taps, *reads, *writes, count;
  Run* runs;  // of a cell whose window lies within what is read
  float *panels, *dots;  // dots: filter by filter, if there are few
  bool joined;  // the taps along the last axis lie side by side

  // The runs of the cells whose taps along each axis are these.
  Index list_runs(const Span* taps_of, Index deep, Run* list) const {
    Index n = 0, last = taps_of[2].end - taps_of[2].first, together = joined ? last : 1;
    for (Index p = taps_of[0].first; p < taps_of[0].end; p++)
      for (Index q = taps_of[1].first; q < taps_of[1].end; q++)
        for (Index r = 0; r < last; r += together) {
          Index t = (p * walks[1].taps + q) * walks[2].taps + taps_of[2].first + r;
          list[n++] = {taps[t], together * deep, t * deep};
        }
    return n;
  }
};

// result = Σ_taps source · kernel (+ bias), for the walks of every phase. `pack(tap, group, column, panel)` lays out
// the columns of the kernel's matrix for one tap. With `pooling`, only the largest cells of the result are written.
template <typename WalkOf, typename Pack>
void slide(ffi::ThreadPool& pool, const Window& window, const Array& source, const float* from, const Array& result,
           float* to, const Index* phases, const WalkOf& walk, const Pack& pack, const float* bias, bool rectify,
           const Pooling* pooling = nullptr, uint8_t* places = nullptr) {
  Wish wish = pooling != nullptr ? pooling->wish() : Wish();
  Blocking blocks = blocking_of(window, source, result);
  wish.across = !blocks, blocks.ask(wish, result);
  Layout l = lay(source, phases, walk, wish);
  Index groups = window.groups, deep = source.channels / groups, wide = result.channels / groups;
  Index panels = ceil_div(wide, COLUMNS), passes = phases[0] * phases[1] * phases[2];
  Index taps = window.taps[0] * window.taps[1] * window.taps[2];
  Index pixels = l.across ? 0 : l.images * result.size[0] * result.size[1] * result.size[2];
  // All taps and all pixels once: the passes share them out.
  constexpr Index PASS = (sizeof(Pass) + sizeof(Index) - 1) / sizeof(Index), RUN = sizeof(Run) / sizeof(Index);
  Index* free = reinterpret_cast<Index*>(tables.floats(2 * ((2 + RUN) * taps + 2 * pixels + passes * PASS)));
  Pass* pass = reinterpret_cast<Pass*>(free);
  Index* kernel_taps = free + passes * PASS;
  free = kernel_taps + taps;
  Index panel_size = deep * COLUMNS, all_panels = groups * panels * panel_size;
  bool dots = groups == 1 && few(wide, deep);
  float* packed = kernel_panels.floats(all_panels * (taps + blocks.parts) + dots * taps * deep * wide);
  float* transformed = packed + all_panels * taps;  // or the dots

  Index done = 0;
  for (Index n = 0; n < passes; n++) {
    Pass& here = pass[n];
    Index phase[AXES] = {n / phases[2] / phases[1], n / phases[2] % phases[1], n % phases[2]};
    for (int a = 0; a < AXES; a++) here.walks[a] = walk(a, phase[a]);
    const Walk* w = here.walks;
    Index count = w[0].taps * w[1].taps * w[2].taps;
    here.taps = free, free += count;
    here.runs = reinterpret_cast<Run*>(free), free += RUN * count;
    here.panels = packed + groups * panels * done * deep * COLUMNS;
    here.reads = free;
    list_taps(l, w, window, here.taps, [&](Index i, Index tap) { kernel_taps[done + i] = tap; });
    Index* own = kernel_taps + done;
    // One panel after the other, all taps in it.
    each(pool, groups * panels, 4.0 * groups * wide * count * deep, [&](Index p) {
      float* panel = here.panels + p * count * deep * COLUMNS;
      for (Index t = 0; t < count; t++) pack(own[t], p / panels, p % panels * COLUMNS, panel + t * panel_size);
      blocks.with_scheme([&](auto scheme) {
        transform_kernel<decltype(scheme)>(panel, panel_size, transformed + p * panel_size, all_panels);
      });
    });
    here.dots = transformed + done * deep * wide;
    for (Index f = 0; dots && f < wide; f++)
      for (Index k = 0; k < count * deep; k++) here.dots[f * count * deep + k] = here.panels[k * COLUMNS + f];
    if (blocks) break;  // there is but one pass, and no list of cells
    done += count;
    here.joined = groups == 1 && w[2].taps > 1 && w[2].apart * l.step[2] == deep;
    Span all_taps[AXES] = {{0, w[0].taps}, {0, w[1].taps}, {0, w[2].taps}};
    here.count = here.list_runs(all_taps, deep, here.runs);
    if (l.across) continue;
    Index most = l.images;
    for (int a = 0; a < AXES; a++) most *= a == l.axis ? smaller(l.band, w[a].count) : w[a].count;
    here.writes = here.reads + most, free = here.writes + most;
    list_pixels(l, w, result, here.reads, here.writes);
  }

  Index image = pooling == nullptr ? result.image : pooling->image(l);
  double work = 2.0 * result.batch * result.image / result.channels * wide * groups * deep * taps / passes;
  each(pool, l.pieces(), work, [&](Index piece) {
    const float* box = l.box(from, piece);
    Index images = l.images_of(piece);
    float* kept = pooling == nullptr ? nullptr : unpooled.floats(images * image);
    if (blocks) {
      float* base = kept != nullptr ? kept : to + l.first_image(piece) * image + l.first_cell(piece) * result.step[l.axis];
      blocks.with_scheme([&](auto scheme) {
        slide_by_blocks<decltype(scheme)>(l, piece, pass[0].walks, from, result, transformed, bias,
                                          rectify && kept == nullptr, base, image);
      });
    }
    for (Index n = 0; n < passes && !blocks; n++) {
      const Pass& here = pass[n];
      const Walk* w = here.walks;
      Index k = w[0].taps * w[1].taps * w[2].taps * deep;
      Index begin = l.first_image(piece) * image + l.first_cell(piece) * w[l.axis].write * result.step[l.axis];
      float* base = kept != nullptr ? kept : to + begin;
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
        auto tile = [&](Index high, const Index* reads, const Index* writes, const Run* runs, Index count) {
          Tile c = start;
          const float* rows[ROWS];
          for (Index r = 0; r < high; r++) rows[r] = own + reads[r];
          if (dots) {
            for (int f = 0; f < wide; f++)
              with_tile(high, 1, [&](auto r, auto) { add_dots<r>(c, f, rows, runs, count, here.dots + f * k); });
          } else {
            with_tile(high, columns, [&](auto r, auto v) { add_runs<r, v>(c, rows, runs, count, panel); });
          }
          for (Index r = 0; r < high; r++) {
            if (rectify && kept == nullptr) c.at[r][0] = relu(c.at[r][0]), c.at[r][1] = relu(c.at[r][1]);
            put(base + writes[r] + column, c, r, columns);
          }
        };
        if (!l.across) {
          Index pixels = l.pixels_of(piece, w);
          for (Index i = 0; i < pixels; i += ROWS)
            tile(smaller(pixels - i, ROWS), here.reads + i, here.writes + i, here.runs, here.count);
          continue;
        }
        Run* runs = reinterpret_cast<Run*>(own_runs.floats(2 * RUN * (k / deep + 1)));
        Index count = 0;
        Span known[AXES] = {{-1, -1}};
        l.each_cell(piece, w, [&](const Index* at, const Span* within) {
          if (known[0] != within[0] || known[1] != within[1] || known[2] != within[2]) {
            count = here.list_runs(within, deep, runs);
            memcpy(known, within, sizeof(known));
          }
          Index reads[ROWS], writes[ROWS], read = 0, write = 0;
          for (int a = 0; a < AXES; a++) {
            read += at[a] * w[a].read * l.step[a];
            write += (w[a].start + at[a] * w[a].write) * result.step[a];
          }
          for (Index i = 0; i < images; i++) reads[i] = read + i * l.image, writes[i] = write + i * image;
          tile(images, reads, writes, runs, count);
        });
      }
    }
    if (pooling != nullptr) pooling->find(l, piece, pass[0].walks, kept, rectify, to, places);
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

// y = the largest of each window of relu(forward); windows lie side by side, and only their cells are computed.
// Where relu leaves nothing, no cell is the largest, so that no slope goes back.
ffi::Error forward_pooled(ffi::ThreadPool pool, Floats x, Floats kernel, Floats bias, Numbers numbers, Numbers size,
                          bool rectify, FloatsOut y, BytesOut places) {
  Window window = window_of(kernel.dimensions(), numbers);
  Pooling pooling(size, y->dimensions());
  Array source(x.dimensions());
  Index deep = source.channels, filters = pooling.y.channels;
  const float* w = kernel.typed_data();
  Index phases[AXES] = {1, 1, 1};
  slide(
      pool, window, source, x.typed_data(), pooling.result, y->typed_data(), phases,
      [&](int axis, Index) { return forwards(window, axis, pooling.result.size[axis]); },
      [&](Index tap, Index, Index j, float* panel) {
        pack_panel(w + tap * deep * filters, deep, filters, filters, j, panel);
      },
      bias.element_count() ? bias.typed_data() : nullptr, rectify, &pooling, places->typed_data());
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
void sum_weights(ffi::ThreadPool& pool, Floats& x, Floats& dy, const Array& result, Numbers numbers, FloatsOut& dw,
                 FloatsOut& dbias, const Pooling* pooling = nullptr, const uint8_t* places = nullptr) {
  Window window = window_of(dw->dimensions(), numbers);
  Array source(x.dimensions());
  Index groups = window.groups, deep = source.channels / groups, filters = result.channels, wide = filters / groups;
  Index phases[AXES] = {1, 1, 1};
  auto walk = [&](int axis, Index) { return forwards(window, axis, result.size[axis]); };
  Wish wish = pooling != nullptr ? pooling->wish() : Wish();
  Blocking blocks = blocking_of(window, source, result);
  blocks.ask(wish, result);
  Layout l = lay(source, phases, walk, wish);
  Walk walks[AXES] = {walk(0, 0), walk(1, 0), walk(2, 0)};
  Index image = pooling != nullptr ? pooling->image(l) : result.image;
  auto slopes = [&](Index unit) -> const float* {
    if (pooling == nullptr)
      return dy.typed_data() + l.first_image(unit) * image + l.first_cell(unit) * result.step[l.axis];
    float* spread = unpooled.floats(l.images_of(unit) * image);
    pooling->spread(l, unit, walks, dy.typed_data(), places, spread);
    return spread;
  };
  if (blocks) {
    float* bias = dbias->element_count() ? dbias->typed_data() : nullptr;
    return blocks.with_scheme([&](auto scheme) {
      sum_by_blocks<decltype(scheme)>(pool, l, walks, x.typed_data(), result, image, slopes, dw->typed_data(), bias);
    });
  }
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
  bool dots = groups == 1 && few(filters, deep);
  if (apart || dots) parts = 1;
  each(pool, shares * parts, work, [&](Index piece) {
    Index share = piece / parts, part = piece % parts;
    float* own = sums + share * size;
    for (Index unit = share * units / shares, first = unit; unit < (share + 1) * units / shares; unit++) {
      const float* box = l.box(x.typed_data(), unit);
      const float* dys = slopes(unit);
      Index count = l.pixels_of(unit, walks);
      if (apart) {
        float* bias = with_bias ? own + height * filters : nullptr;
        sum_apart(box, dys, filters, tap, taps, reads, count, unit == first, own, bias);
        continue;
      }
      if (dots) {
        sum_dots(box, dys, filters, tap, taps, deep, reads, count, unit == first, own);
        float* bias = own + height * filters;
        Vec sum = column_sum(dys, filters, count, filters);
        if (with_bias) store_some(bias, unit == first ? sum : load_some(bias, filters) + sum, filters);
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
            keep(own + height * filters + column, column_sum(b + at, b_step, count, LANES), at);
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
}

ffi::Error weight_gradient(ffi::ThreadPool pool, Floats x, Floats dy, Numbers numbers, FloatsOut dw, FloatsOut dbias) {
  sum_weights(pool, x, dy, Array(dy.dimensions()), numbers, dw, dbias);
  return ffi::Error::Success();
}

// The same behind windows of which only the largest cells have a slope.
ffi::Error weight_gradient_pooled(ffi::ThreadPool pool, Floats x, Floats dy, Bytes places, Numbers numbers,
                                  Numbers size, FloatsOut dw, FloatsOut dbias) {
  Pooling pooling(size, dy.dimensions());
  sum_weights(pool, x, dy, pooling.result, numbers, dw, dbias, &pooling, places.typed_data());
  return ffi::Error::Success();
}

}  // namespace

KERNEL(conv_forward, forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<Numbers>("numbers").Attr<bool>("relu").Ret<Floats>());
KERNEL(conv_forward_pooled, forward_pooled,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<Numbers>("numbers").Attr<Numbers>("size").Attr<bool>("relu").Ret<Floats>().Ret<Bytes>());
KERNEL(conv_input_gradient, input_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Attr<Numbers>("numbers").Ret<Floats>());
KERNEL(conv_weight_gradient, weight_gradient,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Attr<Numbers>("numbers")
           .Ret<Floats>().Ret<Floats>());
KERNEL(conv_weight_gradient_pooled, weight_gradient_pooled,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Bytes>()
           .Attr<Numbers>("numbers").Attr<Numbers>("size").Ret<Floats>().Ret<Floats>());
