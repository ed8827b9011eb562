"""The dense product and its gradients, as kernels: `math.affine.product` in C++ (dense.cc).

Floor 1.
"""

import functools

import jax
import jax.numpy as jnp

from . import call, note


def product(x, kernel, bias=None, rectify=False):
    """x @ kernel + bias along the last axis, with relu if asked. x (…, k), kernel (k, n), bias (n,)."""
    rows = x.reshape(-1, x.shape[-1])
    bias = jnp.zeros((0,), x.dtype) if bias is None else bias
    y = _product(rectify, rows, kernel, bias).reshape(*x.shape[:-1], kernel.shape[1])
    return y if rectify else note(y, relu=lambda: product(x, kernel, bias, True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(rectify, x, kernel, bias):
    return call("dense_forward", (x.shape[0], kernel.shape[1]), x, kernel, bias, relu=rectify)


def _forward(rectify, x, kernel, bias):
    y = _product(rectify, x, kernel, bias)
    return y, (x, kernel, bias, y if rectify else None)


def _backward(rectify, saved, dy):
    x, kernel, bias, y = saved
    dz = jnp.where(y > 0, dy, 0) if rectify else dy
    dx = call("dense_input_gradient", x.shape, dz, kernel)
    d_kernel, d_bias = call("dense_weight_gradient", (kernel.shape, (kernel.shape[1],)), x, dz)
    return dx, d_kernel, d_bias if bias.size else bias


_product.defvjp(_forward, _backward)
