// Batch normalisation along the last axis: y = gamma · (x − mean) / √(variance + epsilon) + beta, and its gradient.
//
// x (n, c). Sums over rows are taken in blocks of rows, each by itself, and the blocks are added up in their order: the
// result does not depend on who took which block, and long sums lose no digits.
#include <cmath>

#include "pool.h"

namespace {

constexpr Index BLOCKS = 32, FEWEST_ROWS = 32;

thread_local Scratch partial_sums, channel_numbers;

// add(row, channel, vectors) over the rows of each block; the sums of all blocks, `kinds` of them a channel.
template <int kinds, typename Add>
void sums(ffi::ThreadPool& pool, Index n, Index c, double cost, float* total, const Add& add) {
  Index rows = (n + BLOCKS - 1) / BLOCKS > FEWEST_ROWS ? (n + BLOCKS - 1) / BLOCKS : FEWEST_ROWS;
  Index blocks = (n + rows - 1) / rows;
  float* partial = partial_sums.floats(blocks * kinds * c);
  each(pool, blocks, cost * n * c, [&](Index block) {
    Index from = block * rows, to = from + rows < n ? from + rows : n;
    for (Index j = 0; j < c; j += LANES) {
      Vec found[kinds] = {};
      for (Index i = from; i < to; i++) add(i * c + j, j, c - j, found);
      for (int k = 0; k < kinds; k++) store_some(partial + (block * kinds + k) * c + j, found[k], c - j);
    }
  });
  for (Index j = 0; j < kinds * c; j++) {
    float all_blocks = 0;
    for (Index block = 0; block < blocks; block++) all_blocks += partial[block * kinds * c + j];
    total[j] = all_blocks;
  }
}

// map(place, channel, room) for every vector of x.
template <typename Map>
void everywhere(ffi::ThreadPool& pool, Index n, Index c, const Map& map) {
  Index rows = 8192 / c > 1 ? 8192 / c : 1;
  each(pool, (n + rows - 1) / rows, 6.0 * n * c, [&](Index block) {
    Index to = (block + 1) * rows < n ? (block + 1) * rows : n;
    for (Index i = block * rows; i < to; i++)
      for (Index j = 0; j < c; j += LANES) map(i * c + j, j, c - j);
  });
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats beta, float epsilon, FloatsOut y,
                   FloatsOut mean, FloatsOut variance) {
  Index c = gamma.element_count(), n = c ? x.element_count() / c : 0;
  if (n == 0) return ffi::Error::Success();
  const float *in = x.typed_data(), *g = gamma.typed_data(), *b = beta.typed_data();
  float *out = y->typed_data(), *m = mean->typed_data(), *v = variance->typed_data();
  sums<1>(pool, n, c, 2, m, [&](Index at, Index, Index room, Vec* found) { found[0] += load_some(in + at, room); });
  for (Index j = 0; j < c; j++) m[j] /= n;
  sums<1>(pool, n, c, 4, v, [&](Index at, Index j, Index room, Vec* found) {
    Vec d = load_some(in + at, room) - load_some(m + j, room);
    found[0] += d * d;
  });
  float* scale = channel_numbers.floats(2 * c + 2 * LANES);
  float* shift = scale + c;
  for (Index j = 0; j < c; j++) {
    v[j] /= n;
    scale[j] = g[j] / sqrtf(v[j] + epsilon);
    shift[j] = b[j] - m[j] * scale[j];
  }
  everywhere(pool, n, c, [&](Index at, Index j, Index room) {
    store_some(out + at, load_some(in + at, room) * load_some(scale + j, room) + load_some(shift + j, room), room);
  });
  return ffi::Error::Success();
}

// From the gradients of y, of the mean and of the variance: those of x, gamma and beta.
ffi::Error backward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats mean, Floats variance, Floats dy, Floats dmean,
                    Floats dvariance, float epsilon, FloatsOut dx, FloatsOut dgamma, FloatsOut dbeta) {
  Index c = gamma.element_count(), n = c ? x.element_count() / c : 0;
  if (n == 0) return ffi::Error::Success();
  const float *in = x.typed_data(), *g = gamma.typed_data(), *m = mean.typed_data(), *v = variance.typed_data();
  const float *d = dy.typed_data(), *dm = dmean.typed_data(), *dv = dvariance.typed_data();
  float* numbers = channel_numbers.floats(5 * c + 5 * LANES);
  float *of_dy = numbers, *of_x = numbers + 2 * c, *constant = numbers + 3 * c, *of_d = numbers + 4 * c;
  float* of_xd = of_dy + c;
  sums<2>(pool, n, c, 6, of_dy, [&](Index at, Index j, Index room, Vec* found) {
    Vec grad = load_some(d + at, room);
    found[0] += grad;
    found[1] += grad * (load_some(in + at, room) - load_some(m + j, room));
  });
  for (Index j = 0; j < c; j++) {
    float r = 1 / sqrtf(v[j] + epsilon);
    dbeta->typed_data()[j] = of_dy[j];
    dgamma->typed_data()[j] = of_xd[j] * r;
    of_d[j] = g[j] * r;
    of_x[j] = (2 * dv[j] - g[j] * r * r * r * of_xd[j]) / n;
    constant[j] = (dm[j] - g[j] * r * of_dy[j]) / n;
  }
  float* out = dx->typed_data();
  everywhere(pool, n, c, [&](Index at, Index j, Index room) {
    Vec sum = load_some(d + at, room) * load_some(of_d + j, room) + load_some(constant + j, room);
    Vec centred = load_some(in + at, room) - load_some(m + j, room);
    store_some(out + at, sum + centred * load_some(of_x + j, room), room);
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(norm_forward, forward,
       ffi::Ffi::Bind()
           .Ctx<ffi::ThreadPool>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Attr<float>("epsilon")
           .Ret<Floats>()
           .Ret<Floats>()
           .Ret<Floats>());
KERNEL(norm_backward, backward,
       ffi::Ffi::Bind()
           .Ctx<ffi::ThreadPool>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Arg<Floats>()
           .Attr<float>("epsilon")
           .Ret<Floats>()
           .Ret<Floats>()
           .Ret<Floats>());
