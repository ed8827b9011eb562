"""The family of Adam: a running mean of the gradients, divided by how large they usually are.

Floor 2. m and v are running means of g and g², t the number of this update (from 1). The corrections for
the first steps, 1 − betaᵗ, are scalars of the step.
"""

import re
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry
from ..base.fields import Bool, Field, Fraction, NonNegative, Number, OptionalNumber, PositiveInt, Refused
from ..kernels.update import Rule
from .host import with_places
from .optimizer import Optimizer, Rated, blank


class Patterns(Field):
    """A list of regular expressions; None is the empty list."""

    want, bad = "a list of patterns for paths of weights", 7

    def read(self, value, owner):
        if isinstance(value, str) or not (value is None or hasattr(value, "__iter__")):
            raise Refused
        return list(value or ())


class Adam(Optimizer):
    """w ← w − alpha · m / (√v + epsilon), with alpha = rate · √(1 − beta_2ᵗ) / (1 − beta_1ᵗ)

    m ← m + (1 − beta_1) · (g − m), v ← v + (1 − beta_2) · (g² − v); `amsgrad` divides by the largest v so
    far. This is the paper's second form: epsilon meets √v before the correction (torch and optax: after).

    Source: Kingma & Ba 2015, section 2; amsgrad: Reddi et al. 2018.
    """

    slots = ("momentum", "velocity")

    learning_rate: Rated = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7
    amsgrad: Bool = False

    def more_slots(self):
        return ("velocity_hat",) if self.amsgrad else ()

    def once(self, rate, t, scalars):
        return rate * jnp.sqrt(correction(self.beta_2, t)) / correction(self.beta_1, t), scalars

    def rule(self, rate, now):
        return None if self.amsgrad else Rule("adam", (rate, now), (1 - self.beta_1, 1 - self.beta_2, self.epsilon))

    def move(self, g, w, slots, alpha):
        m, v = means(self, g, slots)
        new = {"momentum": m, "velocity": v}
        if self.amsgrad:
            v = new["velocity_hat"] = jnp.maximum(slots["velocity_hat"], v)
        return w - m * alpha / (jnp.sqrt(v) + self.epsilon), new


class AdamW(Adam):
    """Adam after w ← w − weight_decay · rate · w: the decay is not scaled by the gradients.

    Source: Loshchilov & Hutter 2019.
    """

    learning_rate: Rated = 0.001
    weight_decay: Number = 0.004
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7
    amsgrad: Bool = False


class Adamax(Optimizer):
    """w ← w − rate · m / ((1 − beta_1ᵗ) · (u + epsilon)), with u ← max(beta_2 · u, |g|)

    Source: Kingma & Ba 2015, section 7.1 (there without epsilon).
    """

    slots = ("momentum", "norm")

    learning_rate: Rated = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7

    def once(self, rate, t, scalars):
        return (rate, correction(self.beta_1, t)), scalars

    def move(self, g, w, slots, now):
        rate, corrected = now
        m = slots["momentum"] + (g - slots["momentum"]) * (1 - self.beta_1)
        u = jnp.maximum(self.beta_2 * slots["norm"], jnp.abs(g))
        return w - rate * m / (corrected * (u + self.epsilon)), {"momentum": m, "norm": u}


class Nadam(Optimizer):
    """Adam that looks ahead: w ← w − rate · m̂ / (√v̂ + epsilon)

    m̂ = u′ · m / (1 − P · u′) + (1 − u) · g / (1 − P), with u = beta_1 · (1 − ½ · 0.96ᵗ), u′ the same for
    t + 1, and P the product of all u so far (`u_product`); v̂ = v / (1 − beta_2ᵗ).

    Source: Dozat 2016.
    """

    slots = ("momentum", "velocity")
    scalars = {"u_product": 1.0}

    learning_rate: Rated = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7

    def once(self, rate, t, scalars):
        b1 = jnp.asarray(self.beta_1, t.dtype)

        def u(t):
            return b1 * (1.0 - 0.5 * jnp.power(jnp.asarray(0.96, t.dtype), t))

        product = scalars["u_product"] * u(t)
        ahead, here = u(t + 1) / (1 - product * u(t + 1)), (1 - u(t)) / (1 - product)
        return (rate, ahead, here, correction(self.beta_2, t)), {"u_product": product}

    def move(self, g, w, slots, now):
        rate, ahead, here, corrected = now
        b1, b2 = (jnp.asarray(beta, g.dtype) for beta in (self.beta_1, self.beta_2))
        m = slots["momentum"] + (g - slots["momentum"]) * (1 - b1)
        v = slots["velocity"] + (jnp.square(g) - slots["velocity"]) * (1 - b2)
        step = (ahead * m + here * g) * rate / (jnp.sqrt(v / corrected) + self.epsilon)
        return w - step, {"momentum": m, "velocity": v}


class Lamb(Optimizer):
    """w ← w − rate · |w| / |u| · u, with u = m̂ / (√v̂ + epsilon): each array's step is as long as its own norm.

    Where |w| or |u| is 0 the factor is 1. Here the decay comes before (AdamW's), not inside u as in the paper.

    Source: You et al. 2020.
    """

    slots = ("momentum", "velocity")

    learning_rate: Rated = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7

    def once(self, rate, t, scalars):
        return (rate, correction(self.beta_1, t), correction(self.beta_2, t)), scalars

    def move(self, g, w, slots, now):
        rate, c1, c2 = now
        m, v = means(self, g, slots)
        u = (m / c1) / (jnp.sqrt(v / c2) + self.epsilon)
        long, short = (jnp.sqrt(jnp.sum(jnp.square(x))) for x in (w, u))
        trust = jnp.where((long > 0) & (short > 0), long / short, 1.0)
        return w - trust * rate * u, {"momentum": m, "velocity": v}


class ScheduleFreeAdamW(Optimizer):
    """Adam without a schedule: gradients are taken at y = (1 − beta_1) · z + beta_1 · x, x the mean of all z.

    z ← z − rate · g / (√v̂ + epsilon) and x ← x + (z − x) / t; the weights are y, the slot `momentum` is z.
    The rate rises over `warmup_steps`. As in Keras the weights stay y, also for evaluation.

    Source: Defazio et al. 2024.
    """

    slots = ("momentum", "velocity")

    learning_rate: Rated = 0.0025
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-8
    warmup_steps: NonNegative = 0

    def first(self, slot, w):
        return blank(w) if slot == "velocity" else same(w)

    def once(self, rate, t, scalars):
        if self.warmup_steps:
            rate = rate * jnp.minimum(t / self.warmup_steps, 1.0)
        return (rate, 1.0 / t, correction(self.beta_2, t)), scalars

    def move(self, g, w, slots, now):
        rate, weight, corrected = now
        z, b1, b2 = slots["momentum"], *(jnp.asarray(beta, g.dtype) for beta in (self.beta_1, self.beta_2))
        v = slots["velocity"] + (jnp.square(g) - slots["velocity"]) * (1 - b2)
        x = (w - (1 - b1) * z) / b1
        z = z - rate * g / (jnp.sqrt(v / corrected) + self.epsilon)
        x = (1 - weight) * x + weight * z
        return (1 - b1) * z + b1 * x, {"momentum": z, "velocity": v}


class Muon(Optimizer):
    """Matrices move by the orthogonal matrix nearest to their momentum; all other weights by AdamW.

    m ← momentum · m + g, w ← w − rate · rms_rate · √max(rows, columns) · orthogonal(m), where orthogonal is
    `ns_steps` of Newton–Schulz: X ← a X + (b X Xᵀ + c (X Xᵀ)²) X. Embeddings (by the path of the weight) and
    what `exclude_layers` names count as "other".

    Source: Jordan et al. 2024; the rate: Liu et al. 2025.
    """

    slots = ("momentum", "velocity")
    behind = (
        "exclude_layers", "exclude_embeddings", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps",
        "nesterov", "rms_rate",
    )  # fmt: skip

    learning_rate: Rated = 0.001
    adam_beta_1: Fraction = 0.9
    adam_beta_2: Fraction = 0.999
    adam_weight_decay: OptionalNumber = 0.004
    epsilon: NonNegative = 1e-7
    weight_decay: OptionalNumber = 0.004
    exclude_layers: Annotated[Any, Patterns()] = None
    exclude_embeddings: Bool = True
    muon_a: Number = 3.4445
    muon_b: Number = -4.775
    muon_c: Number = 2.0315
    adam_lr_ratio: Number = 1
    momentum: Fraction = 0.95
    ns_steps: PositiveInt = 5
    nesterov: Bool = True
    rms_rate: OptionalNumber = 0.2

    def remember(self, slot, params):
        if slot == "momentum":
            return super().remember(slot, params)
        return with_places(lambda place, w: blank(w) if self.is_other(self.path(place), w) else None, params)

    def is_other(self, path, w):
        if len(w.shape) != 2 or (self.exclude_embeddings and "embedding" in path.lower()):
            return True
        return any(re.search(word, path) for word in self.exclude_layers)

    def decay_strengths(self, params, state):
        matrices, others = self.weight_decay or 0.0, self.adam_weight_decay or 0.0

        def strength(w, decays, velocity):
            return (matrices if velocity is None else others) if decays else 0.0

        return jax.tree.map(strength, params, self.decaying(params), state["slots"]["velocity"])

    def once(self, rate, t, scalars):
        adam = rate * self.adam_lr_ratio
        alpha = adam * jnp.sqrt(correction(self.adam_beta_2, t)) / correction(self.adam_beta_1, t)
        return (rate, alpha), scalars

    def move(self, g, w, slots, now):
        rate, alpha = now
        m, v = slots["momentum"], slots["velocity"]
        if v is not None:
            m = m + (g - m) * (1 - self.adam_beta_1)
            v = v + (jnp.square(g) - v) * (1 - self.adam_beta_2)
            return w - m * alpha / (jnp.sqrt(v) + self.epsilon), {"momentum": m, "velocity": v}
        m = m + (g + m * (self.momentum - 1))
        step = rate * self.stretched(self.orthogonal(g + self.momentum * m if self.nesterov else m))
        return w - step, {"momentum": m, "velocity": None}

    def stretched(self, x):
        """x as long as a step of AdamW is, for an orthogonal matrix of its shape."""
        return x if self.rms_rate is None else x * max(x.shape) ** 0.5 * self.rms_rate

    def orthogonal(self, x):
        """`ns_steps` of Newton–Schulz on the flat side of x."""
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (jnp.sqrt(jnp.sum(jnp.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = self.muon_a * x + (self.muon_b * square + (self.muon_c * square) @ square) @ x
        return x.T if tall else x


def correction(beta, t):
    """1 − betaᵗ, in the precision of t: what a running mean that began at 0 still lacks."""
    return 1 - jnp.power(jnp.asarray(beta, t.dtype), t)


def means(self, g, slots):
    """The new m and v."""
    m, v = slots["momentum"], slots["velocity"]
    return m + (g - m) * (1 - self.beta_1), v + (jnp.square(g) - v) * (1 - self.beta_2)


def same(w):
    """A copy of `w`; where only the shape is known, zeros."""
    if isinstance(w, jax.ShapeDtypeStruct):
        return blank(w)
    return w if isinstance(w, jax.core.Tracer) else np.array(w)


registry.add(
    "optimizer", Adam, AdamW, Adamax, Nadam, Lamb, ScheduleFreeAdamW, Muon,
    adamw=AdamW, schedulefreeadamw=ScheduleFreeAdamW,
)  # fmt: skip
