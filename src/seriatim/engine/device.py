"""How the first arrays get to the device: without a program.

Floor 3. `jnp.asarray`, `jnp.zeros` and `jax.random.key` compile one for each shape, 5 to 60 ms each, and nothing else
has been compiled when training starts.
"""

import jax
import numpy as np


def placed(tree):
    """The arrays and numbers of a tree as device arrays of their own; what is one already stays."""
    return jax.tree.map(lambda a: a if isinstance(a, jax.Array) else jax.device_put(np.array(a)), tree)


def random_key(seed):
    """`jax.random.key(seed)`, for seeds from 0 to 2**32 - 1."""
    if jax.config.jax_default_prng_impl != "threefry2x32":
        return jax.random.key(seed)
    return jax.random.wrap_key_data(jax.device_put(np.array([0, seed], np.uint32)), impl="threefry2x32")
