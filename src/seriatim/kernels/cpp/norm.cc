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

// y = x · scale + shift: what a channel is multiplied by, and what is added.
void affine(Index c, const float* gamma, const float* beta, const float* mean, const float* variance, float epsilon,
            float* scale, float* shift) {
  for (Index j = 0; j < c; j++) {
    scale[j] = gamma[j] / sqrtf(variance[j] + epsilon);
    shift[j] = beta[j] - mean[j] * scale[j];
  }
}

ffi::Error moments(ffi::ThreadPool pool, Floats x, FloatsOut mean, FloatsOut variance) {
  Index c = mean->element_count(), n = c ? x.element_count() / c : 0;
  if (n == 0) return ffi::Error::Success();
  const float* in = x.typed_data();
  float *m = mean->typed_data(), *v = variance->typed_data();
  sums<1>(pool, n, c, 2, m, [&](Index at, Index, Index room, Vec* found) { found[0] += load_some(in + at, room); });
  for (Index j = 0; j < c; j++) m[j] /= n;
  sums<1>(pool, n, c, 4, v, [&](Index at, Index j, Index room, Vec* found) {
    Vec d = load_some(in + at, room) - load_some(m + j, room);
    found[0] += d * d;
  });
  for (Index j = 0; j < c; j++) v[j] /= n;
  return ffi::Error::Success();
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats beta, Floats mean, Floats variance,
                   float epsilon, bool rectify, FloatsOut y) {
  Index c = gamma.element_count(), n = c ? x.element_count() / c : 0;
  if (n == 0) return ffi::Error::Success();
  float *scale = channel_numbers.floats(2 * c + 2 * LANES), *shift = scale + c;
  affine(c, gamma.typed_data(), beta.typed_data(), mean.typed_data(), variance.typed_data(), epsilon, scale, shift);
  const float* in = x.typed_data();
  float* out = y->typed_data();
  everywhere(pool, n, c, [&](Index at, Index j, Index room) {
    Vec value = load_some(in + at, room) * load_some(scale + j, room) + load_some(shift + j, room);
    store_some(out + at, rectify ? relu(value) : value, room);
  });
  return ffi::Error::Success();
}

// From the gradient of y, behind relu if asked: those of x (by way of the moments, too), gamma and beta.
ffi::Error backward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats beta, Floats mean, Floats variance, Floats dy,
                    float epsilon, bool rectify, FloatsOut dx, FloatsOut dgamma, FloatsOut dbeta) {
  Index c = gamma.element_count(), n = c ? x.element_count() / c : 0;
  if (n == 0) return ffi::Error::Success();
  const float *in = x.typed_data(), *g = gamma.typed_data(), *m = mean.typed_data(), *v = variance.typed_data();
  const float* d = dy.typed_data();
  float* numbers = channel_numbers.floats(6 * c + 6 * LANES);
  float *of_dy = numbers, *of_xd = numbers + c, *of_x = numbers + 2 * c, *constant = numbers + 3 * c;
  float *scale = numbers + 4 * c, *shift = numbers + 5 * c;
  affine(c, g, beta.typed_data(), m, v, epsilon, scale, shift);
  auto slope = [&](Index at, Index j, Index room) {
    Vec grad = load_some(d + at, room);
    if (!rectify) return grad;
    Vec value = load_some(in + at, room) * load_some(scale + j, room) + load_some(shift + j, room);
    return select(value > Vec{}, grad, Vec{});
  };
  sums<2>(pool, n, c, 6, of_dy, [&](Index at, Index j, Index room, Vec* found) {
    Vec grad = slope(at, j, room);
    found[0] += grad;
    found[1] += grad * (load_some(in + at, room) - load_some(m + j, room));
  });
  for (Index j = 0; j < c; j++) {
    float r = 1 / sqrtf(v[j] + epsilon);
    dbeta->typed_data()[j] = of_dy[j];
    dgamma->typed_data()[j] = of_xd[j] * r;
    of_x[j] = -scale[j] * r * r * of_xd[j] / n;
    constant[j] = -scale[j] * of_dy[j] / n;
  }
  float* out = dx->typed_data();
  everywhere(pool, n, c, [&](Index at, Index j, Index room) {
    Vec sum = slope(at, j, room) * load_some(scale + j, room) + load_some(constant + j, room);
    Vec centred = load_some(in + at, room) - load_some(m + j, room);
    store_some(out + at, sum + centred * load_some(of_x + j, room), room);
  });
  return ffi::Error::Success();
}

}  // namespace

KERNEL(norm_moments, moments, ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Ret<Floats>().Ret<Floats>());
KERNEL(norm_forward, forward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Attr<float>("epsilon").Attr<bool>("relu").Ret<Floats>());
KERNEL(norm_backward, backward,
       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
           .Arg<Floats>().Attr<float>("epsilon").Attr<bool>("relu").Ret<Floats>().Ret<Floats>().Ret<Floats>());
