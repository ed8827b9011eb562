"""`seriatim.ops`: linear algebra.

Floor 6.
"""

import jax
import jax.numpy as jnp

from .table import plain, rows

ROWS = rows(
    """
    det(x); inv(x); norm(x, ord=None, axis=None, keepdims=False); pinv(x, rcond=None);
    qr(x, mode='reduced'); svd(x, full_matrices=True, compute_uv=True);
    """,
    jnp.linalg,
)


def solve(a, b):
    """x with a @ x = b; b holds a vector, or a matrix, for each matrix of a."""
    a, b = jnp.asarray(plain(a)), jnp.asarray(plain(b))
    return jnp.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else jnp.linalg.solve(a, b)


def lstsq(a, b, rcond=None):
    """x that makes |a @ x − b| smallest."""
    return jnp.linalg.lstsq(plain(a), plain(b), rcond)[0]


def cholesky(x, upper=False):
    """The triangle L with L @ Lᵀ = x (`upper`: U with Uᵀ @ U = x)."""
    return jnp.linalg.cholesky(plain(x), upper=upper)


def cholesky_inverse(x, upper=False):
    """The inverse of the matrix whose Cholesky triangle is x."""
    x = jnp.asarray(plain(x))
    return jax.scipy.linalg.cho_solve((x, not upper), jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape))


def eig(x):
    """(eigenvalues, eigenvectors as columns)"""
    return tuple(jnp.linalg.eig(plain(x)))


def eigh(x):
    """(eigenvalues, eigenvectors as columns) of symmetric matrices."""
    return tuple(jnp.linalg.eigh(plain(x)))


def lu_factor(x):
    """(L below and U above the diagonal of one array, the pivots)"""
    return jax.scipy.linalg.lu_factor(plain(x))


def matrix_rank(x, tol=None):
    """How many singular values exceed `tol`."""
    return jnp.linalg.matrix_rank(plain(x), tol)


def solve_triangular(a, b, lower=False):
    """x with a @ x = b, a being a triangle."""
    a, b = jnp.asarray(plain(a)), jnp.asarray(plain(b))
    if b.ndim == a.ndim - 1:
        return jax.scipy.linalg.solve_triangular(a, b[..., None], lower=lower)[..., 0]
    return jax.scipy.linalg.solve_triangular(a, b, lower=lower)


def jvp(fun, primals, tangents, has_aux=False):
    """(fun at the primals, its derivative in the direction of the tangents)"""
    return jax.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)
