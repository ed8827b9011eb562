"""Double precision, where it is asked for. Floor 1."""

import jax
import numpy as np


def doubles(*dtypes):
    """See to it that JAX computes in float64 if one of `dtypes` is that: it has the type only when told so.

    The switch holds for the whole process. Models in float32 stay what they are.
    """
    if "float64" in dtypes and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        jax.config.update("jax_enable_x64", True)
