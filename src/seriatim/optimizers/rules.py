"""The formulas, one array at a time: plain descent, and descent scaled by what the gradients were.

Floor 2. g gradient, w weight, rate learning rate, t number of this update (from 1). The family of Adam
stands in adams.py.
"""

from typing import Annotated

import jax.numpy as jnp

from ..base import registry
from ..base.fields import Bool, Fraction, NonNegative, Number, Real
from ..kernels.update import Rule
from .optimizer import Optimizer, Rated, blank

NonPositive = Annotated[float, Real(None, 0, want="a number, 0 or less")]
Share = Annotated[float, Real(1e-30, 1, want="a number above 0, up to 1")]


class SGD(Optimizer):
    """w ← w − rate · g; with momentum, v ← momentum · v − rate · g and w ← w + v.

    `nesterov`: w ← w + momentum · v − rate · g, with the new v. The rate is inside v, so a change of rate
    acts on the gradients to come only (torch and optax keep it outside: theirs acts on v too).

    Source: Sutskever et al. 2013.
    """

    learning_rate: Rated = 0.01
    momentum: Fraction = 0.0
    nesterov: Bool = False

    def more_slots(self):
        return ("momentum",) if self.momentum else ()

    def rule(self, rate, now):
        return Rule("sgd", (rate,), (self.momentum, self.nesterov))

    def move(self, g, w, slots, rate):
        if not self.momentum:
            return w - g * rate, slots
        v = slots["momentum"] * self.momentum - g * rate
        return w + (v * self.momentum - g * rate if self.nesterov else v), {"momentum": v}


class Lion(Optimizer):
    """w ← w − rate · sign(beta_1 · m + (1 − beta_1) · g), then m ← beta_2 · m + (1 − beta_2) · g

    Every entry moves by the rate, so the rate is three to ten times smaller than Adam's.

    Source: Chen et al. 2023.
    """

    slots = ("momentum",)

    learning_rate: Rated = 0.001
    beta_1: Share = 0.9
    beta_2: Fraction = 0.99

    def move(self, g, w, slots, rate):
        m, b1, b2 = slots["momentum"], *(jnp.asarray(beta, g.dtype) for beta in (self.beta_1, self.beta_2))
        return w - rate * jnp.sign(m * b1 + g * (1.0 - b1)), {"momentum": m * b2 + g * (1.0 - b2)}


class RMSprop(Optimizer):
    """v ← rho · v + (1 − rho) · g² and w ← w − rate · g / √(v + epsilon)

    `centered` divides by √(v − a² + epsilon), a the running mean of g. With momentum the scaled steps
    add up: m ← momentum · m + step, w ← w − m. Epsilon is inside the root (torch: outside).

    Source: Hinton 2012, lecture 6e; centered: Graves 2013.
    """

    slots = ("velocity",)

    learning_rate: Rated = 0.001
    rho: Fraction = 0.9
    momentum: Fraction = 0.0
    epsilon: NonNegative = 1e-7
    centered: Bool = False

    def more_slots(self):
        return (("momentum",) if self.momentum else ()) + (("average_gradient",) if self.centered else ())

    def rule(self, rate, now):
        plain = not self.momentum and not self.centered
        return Rule("rmsprop", (rate,), (self.rho, 1 - self.rho, self.epsilon)) if plain else None

    def move(self, g, w, slots, rate):
        v = self.rho * slots["velocity"] + (1 - self.rho) * jnp.square(g)
        new, spread = {"velocity": v}, v
        if self.centered:
            new["average_gradient"] = self.rho * slots["average_gradient"] + (1 - self.rho) * g
            spread = v - jnp.square(new["average_gradient"])
        step = rate * g / jnp.sqrt(spread + self.epsilon)
        if self.momentum:
            step = new["momentum"] = self.momentum * slots["momentum"] + step
        return w - step, new


class Adagrad(Optimizer):
    """a ← a + g² and w ← w − rate · g / √(a + epsilon); a begins at `initial_accumulator_value`.

    Source: Duchi et al. 2011.
    """

    slots = ("accumulator",)

    learning_rate: Rated = 0.001
    initial_accumulator_value: NonNegative = 0.1
    epsilon: NonNegative = 1e-7

    def first(self, slot, w):
        return blank(w, self.initial_accumulator_value)

    def move(self, g, w, slots, rate):
        a = slots["accumulator"] + jnp.square(g)
        return w - rate * g / jnp.sqrt(a + self.epsilon), {"accumulator": a}


class Adadelta(Optimizer):
    """a ← rho · a + (1 − rho) · g², step = √(d + epsilon) / √(a + epsilon) · g, d ← rho · d + (1 − rho) · step²

    and w ← w − rate · step. The paper has no rate: 1.0 is the paper, 0.001 is Keras's default.

    Source: Zeiler 2012.
    """

    slots = ("accumulated_grad", "accumulated_delta_var")

    learning_rate: Rated = 0.001
    rho: Fraction = 0.95
    epsilon: NonNegative = 1e-7

    def move(self, g, w, slots, rate):
        a = self.rho * slots["accumulated_grad"] + (1 - self.rho) * jnp.square(g)
        d = slots["accumulated_delta_var"]
        step = jnp.sqrt(d + self.epsilon) * g / jnp.sqrt(a + self.epsilon)
        d = self.rho * d + (1 - self.rho) * jnp.square(step)
        return w - rate * step, {"accumulated_grad": a, "accumulated_delta_var": d}


class Ftrl(Optimizer):
    """Follow the regularized leader: w ← (clip(z, −l1, l1) − z) / (nᵖ / rate + 2 · l2), with p = −learning_rate_power.

    n ← n + g² begins at `initial_accumulator_value`; z ← z + g′ − (n_newᵖ − n_oldᵖ) / rate · w, where
    g′ = g + 2 · l2_shrinkage · w; and l2 is `l2_regularization_strength` + beta / (2 · rate).

    Source: McMahan et al. 2013, algorithm 1; shrinkage as in Keras.
    """

    slots = ("accumulator", "linear")

    learning_rate: Rated = 0.001
    learning_rate_power: NonPositive = -0.5
    initial_accumulator_value: NonNegative = 0.1
    l1_regularization_strength: NonNegative = 0.0
    l2_regularization_strength: NonNegative = 0.0
    l2_shrinkage_regularization_strength: NonNegative = 0.0
    beta: Number = 0.0

    def first(self, slot, w):
        return blank(w, self.initial_accumulator_value if slot == "accumulator" else 0.0)

    def once(self, rate, t, scalars):
        return (rate, 2 * (self.l2_regularization_strength + self.beta / (2.0 * rate))), scalars

    def move(self, g, w, slots, now):
        rate, pull = now
        n, power, l1 = slots["accumulator"], -self.learning_rate_power, self.l1_regularization_strength
        shrunk = g + 2 * self.l2_shrinkage_regularization_strength * w
        new = n + jnp.square(g)
        z = slots["linear"] + shrunk - (jnp.power(new, power) - jnp.power(n, power)) / rate * w
        w = (jnp.clip(z, -l1, l1) - z) / (jnp.power(new, power) / rate + pull)
        return w, {"accumulator": new, "linear": z}


class Adafactor(Optimizer):
    """w ← w − alpha · u / max(1, rms(u) / clip_threshold), u = g / √v, with v kept as a row and a column of means.

    alpha = max(epsilon_2, rms(w)) · min(rate, 1 / √t). For two axes or more, r and c are running means of
    g² + epsilon_1 over the last and the last but one axis, with weight t^beta_2_decay for the new one, and
    v = r / mean(r) ⊗ c; for fewer axes v is the running mean itself.

    As in Keras, v is a slot beside r and c, so the memory the factors could save is not saved; and
    `relative_step` changes nothing, since 1 / √t bounds the rate either way.  Source: Shazeer & Stern 2018.
    """

    slots = ("r", "c", "velocity")

    learning_rate: Rated = 0.001
    beta_2_decay: Number = -0.8
    epsilon_1: NonNegative = 1e-30
    epsilon_2: NonNegative = 1e-3
    clip_threshold: NonNegative = 1.0
    relative_step: Bool = True

    def first(self, slot, w):
        if slot == "velocity":
            return blank(w)
        if len(w.shape) < 2:
            return blank(w, shape=(), dtype="int32")  # a placeholder, as in Keras's files
        return blank(w, shape=w.shape[:-1] if slot == "r" else (*w.shape[:-2], w.shape[-1]))

    def once(self, rate, t, scalars):
        return (jnp.minimum(rate, 1 / jnp.sqrt(t)), 1 - jnp.power(t, self.beta_2_decay)), scalars

    def move(self, g, w, slots, now):
        rate, keep = now
        square, (r, c, v) = jnp.square(g) + self.epsilon_1, (slots[name] for name in self.slots)
        if w.ndim >= 2:
            r = keep * r + (1 - keep) * jnp.mean(square, -1)
            c = keep * c + (1 - keep) * jnp.mean(square, -2)
            v = (r / jnp.mean(r, -1, keepdims=True))[..., None] * c[..., None, :]
        else:
            v = keep * v + (1 - keep) * square
        u = g / jnp.sqrt(v)
        alpha = jnp.maximum(self.epsilon_2, rms(w)) * rate
        return w - alpha * (u / jnp.maximum(1.0, rms(u) / self.clip_threshold)), {"r": r, "c": c, "velocity": v}


def rms(x):
    """√mean(x²)"""
    return jnp.sqrt(jnp.mean(jnp.square(x)))


registry.add("optimizer", SGD, Lion, RMSprop, Adagrad, Adadelta, Ftrl, Adafactor, rmsprop=RMSprop)
