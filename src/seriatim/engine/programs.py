"""The compiled programs of a plan: made once for each shape, on threads, shared by equal plans.

Floor 3. A second model of the same architecture finds the programs of the first; when the last model
that uses them is gone, so are they.
"""

import concurrent.futures
import functools
import weakref

import jax

from .. import kernels
from . import cache, step
from .plan import avals

_shared = weakref.WeakValueDictionary()  # fingerprint -> Programs
_threads = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="seriatim-compile")


def programs_for(plan):
    """The programs of this plan, or of an equal one that is still in use."""
    found = _shared.get(plan.fingerprint)
    if found is None:
        found = _shared[plan.fingerprint] = Programs(plan)
    return found


class Programs:
    """Compiled functions by kind and shape. `get` waits for one; `ask` starts it beside other work."""

    donate = {"train_rows": (0,), "train_chunk": (0,), "train_step": (0,)}

    def __init__(self, plan):
        self.plan = plan
        self.made = {}
        self.loops = not plan.eager and not (
            jax.default_backend() == "cpu" and any(slow_in_loop(layer) for layer in plan.layers)
        )

    def ask(self, kind, *args, size=None):
        """A future of the program `kind` for arguments of these shapes."""
        shapes = avals(args)
        leaves, tree = jax.tree.flatten(shapes)
        key = (kind, size, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self.made:
            self.made[key] = _threads.submit(self.compile, kind, size, shapes)
        return self.made[key]

    def get(self, kind, *args, size=None):
        return self.ask(kind, *args, size=size).result()

    def call(self, kind, *args, size=None):
        return self.get(kind, *args, size=size)(*args)

    def compile(self, kind, size, shapes):
        head = (self.plan,) if size is None else (self.plan, size)
        function = step.copy_state if kind == "copy_state" else functools.partial(getattr(step, kind), *head)
        if self.plan.eager and kind != "copy_state":
            return function
        return cache.compiled(
            jax.jit(kernels.served(function), donate_argnums=self.donate.get(kind, ())).lower(*shapes)
        )

    @functools.cached_property
    def predict(self):
        """jit of the forward pass alone: x and arrays in, prediction and moved state out."""
        return jax.jit(kernels.served(functools.partial(step.predict_step, self.plan)))


def slow_in_loop(layer):
    """Where no kernel serves, XLA's CPU runs a convolution in a compiled loop about 15 times slower than outside."""
    own = layer.convolves and not kernels.offered(layer.compute_dtype)
    return own or any(slow_in_loop(child) for child in layer.children.values())
