"""A schedule is a function from the step to the learning rate, computed inside the compiled program.

Floor 2. Steps count from 0 and are not rounded to epochs. All six are Keras's, with Keras's names; all
compute in float32, so a step above 2²⁴ is rounded (as in Keras).
"""

import math
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp

from ..base import registry
from ..base.config import Config
from ..base.fields import Bool, Field, Number, OptionalNumber, OptionalText, Real, Refused
from ..base.report import UsageError


class Numbers(Field):
    """A list of numbers, kept as it was written."""

    want, bad = "a list of numbers", 7

    def read(self, value, owner):
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise Refused
        for item in value:
            Real().read(item, owner)
        return value


class LearningRateSchedule(Config):
    """rate = schedule(step). Write `__call__(self, step)` with `jax.numpy`; `step` is an int32 scalar.

    >>> class Halved(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5 ** (step // 1000)
    """

    family: ClassVar[str] = "schedule"

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, step)")

    def positive(self, name):
        """A UsageError unless the argument is above 0."""
        value = getattr(self, name)
        if not value > 0:
            raise UsageError(
                f"{type(self).__name__}({name}=…) counts steps", at=self._birthplace, saw=f"{name}={value!r}",
                want="a number above 0",
            )  # fmt: skip


class ExponentialDecay(LearningRateSchedule):
    """rate = initial · decay_rate^(step / decay_steps); the quotient is rounded down if `staircase`.

    >>> float(ExponentialDecay(0.5, decay_steps=2, decay_rate=0.5)(4))
    0.125
    """

    initial_learning_rate: Number
    decay_steps: Number
    decay_rate: Number
    staircase: Bool = False
    name: OptionalText = "ExponentialDecay"

    def validate(self):
        self.positive("decay_steps")

    def __call__(self, step):
        return self.initial_learning_rate * jnp.power(jnp.float32(self.decay_rate), stairs(self, step))


class InverseTimeDecay(LearningRateSchedule):
    """rate = initial / (1 + decay_rate · step / decay_steps); the quotient is rounded down if `staircase`.

    >>> float(InverseTimeDecay(0.5, decay_steps=1, decay_rate=1)(3))
    0.125
    """

    initial_learning_rate: Number
    decay_steps: Number
    decay_rate: Number
    staircase: Bool = False
    name: OptionalText = "InverseTimeDecay"

    def validate(self):
        self.positive("decay_steps")

    def __call__(self, step):
        return self.initial_learning_rate / (1.0 + self.decay_rate * stairs(self, step))


class PolynomialDecay(LearningRateSchedule):
    """rate = (initial − end) · (1 − step / decay_steps)^power + end, and `end` from `decay_steps` on.

    With `cycle`, `decay_steps` is doubled, tripled, … each time the step passes it.

    >>> float(PolynomialDecay(0.5, decay_steps=4, end_learning_rate=0.0)(2))
    0.25
    """

    initial_learning_rate: Number
    decay_steps: Number
    end_learning_rate: Number = 0.0001
    power: Number = 1.0
    cycle: Bool = False
    name: OptionalText = "PolynomialDecay"

    def validate(self):
        self.positive("decay_steps")

    def __call__(self, step):
        step, end = jnp.float32(step), jnp.float32(self.end_learning_rate)
        length = jnp.float32(self.decay_steps)
        if self.cycle:
            length = length * jnp.where(step == 0, 1.0, jnp.ceil(step / length))
        else:
            step = jnp.minimum(step, length)
        return (self.initial_learning_rate - end) * jnp.power(1 - step / length, jnp.float32(self.power)) + end


class PiecewiseConstantDecay(LearningRateSchedule):
    """rate = values[how many boundaries lie below the step]; a step on a boundary still has the earlier value.

    >>> float(PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25])(15))
    0.5
    """

    boundaries: Annotated[Any, Numbers()]
    values: Annotated[Any, Numbers()]
    name: OptionalText = "PiecewiseConstant"

    def validate(self):
        if len(self.boundaries) != len(self.values) - 1:
            raise UsageError(
                "PiecewiseConstantDecay needs one value before each boundary and one after the last",
                at=self._birthplace, saw=f"{len(self.boundaries)} boundaries and {len(self.values)} values",
                want=f"{len(self.boundaries) + 1} values",
            )  # fmt: skip

    def __call__(self, step):
        passed = jnp.sum(step > jnp.asarray(self.boundaries))
        return jnp.asarray(self.values, jnp.float32)[passed]


class CosineDecay(LearningRateSchedule):
    """rate = peak · ((1 − alpha) · ½ (1 + cos(π · step / decay_steps)) + alpha), after a linear warm-up.

    Without `warmup_target` the peak is `initial_learning_rate` and there is no warm-up. With it, the rate
    first rises (or falls) from `initial_learning_rate` to `warmup_target`, the peak, in `warmup_steps`.

    Source: Loshchilov & Hutter 2017 (SGDR), without restarts.

    >>> round(float(CosineDecay(0.0, 10, warmup_target=0.5, warmup_steps=4)(4)), 6)
    0.5
    """

    initial_learning_rate: Number
    decay_steps: Number
    alpha: Number = 0.0
    name: OptionalText = "CosineDecay"
    warmup_target: OptionalNumber = None
    warmup_steps: Number = 0

    def validate(self):
        self.positive("decay_steps")

    def __call__(self, step):
        step, start = jnp.float32(step), jnp.float32(self.initial_learning_rate)
        if self.warmup_target is None:
            return self.fall(step, start)
        warm, peak = jnp.float32(self.warmup_steps), jnp.float32(self.warmup_target)
        rise = (peak - start) * (step / jnp.maximum(warm, 1e-30)) + start
        return jnp.where(step < warm, rise, self.fall(step - warm, peak))

    def fall(self, step, peak):
        length = jnp.float32(self.decay_steps)
        wave = 0.5 * (1.0 + jnp.cos(math.pi * (jnp.minimum(step, length) / length)))
        return peak * ((1 - self.alpha) * wave + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """The cosine of `CosineDecay`, begun anew at each restart: cycle i is t_mulⁱ as long and m_mulⁱ as high.

    rate = initial · ((1 − alpha) · m_mulⁱ · ½ (1 + cos(π · fraction of cycle i)) + alpha)

    Differs from Keras: restarts come on time. Keras takes the floor of a rounded logarithm, which makes some
    of them one step late (all of them for t_mul=10).  Source: Loshchilov & Hutter 2017 (SGDR).

    >>> float(CosineDecayRestarts(0.5, first_decay_steps=10)(10))
    0.5
    """

    initial_learning_rate: Number
    first_decay_steps: Number
    t_mul: Number = 2.0
    m_mul: Number = 1.0
    alpha: Number = 0.0
    name: OptionalText = "SGDRDecay"

    def validate(self):
        self.positive("first_decay_steps")
        self.positive("t_mul")

    def __call__(self, step):
        cycle, fraction = self.locate(jnp.float32(step) / jnp.float32(self.first_decay_steps))
        wave = 0.5 * jnp.power(jnp.float32(self.m_mul), cycle) * (1.0 + jnp.cos(math.pi * fraction))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)

    def locate(self, passed):
        """(number of the cycle, fraction of it) after `passed` first cycles: Σ t_mulⁱ = (1 − t_mulⁿ) / (1 − t_mul)."""
        t = float(self.t_mul)
        if t == 1.0:
            return jnp.floor(passed), passed - jnp.floor(passed)
        growth = jnp.float32(t)

        def begin(cycle):
            return (1.0 - jnp.power(growth, cycle)) / (1.0 - growth)

        cycle = jnp.floor(jnp.log(1.0 - passed * (1.0 - growth)) / jnp.log(growth))
        late = passed * (1 + 5e-7)  # a few roundings: a step that should meet a restart does
        cycle = jnp.where(late >= begin(cycle + 1), cycle + 1, cycle)  # where the logarithm was rounded down
        cycle = jnp.where(late < begin(cycle), cycle - 1, cycle)  # … or up
        return cycle, (passed - begin(cycle)) / jnp.power(growth, cycle)


def stairs(schedule, step):
    """step / decay_steps, in whole numbers if the schedule is a staircase."""
    passed = jnp.float32(step) / jnp.float32(schedule.decay_steps)
    return jnp.floor(passed) if schedule.staircase else passed


def serialize(learning_rate_schedule):
    """Keras's config of a schedule: {module, class_name, config, registered_name}."""
    return registry.to_config(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule that `serialize` described."""
    with registry.custom_object_scope(custom_objects):
        return registry.from_config("schedule", config)


registry.add(
    "schedule", LearningRateSchedule, ExponentialDecay, InverseTimeDecay, PolynomialDecay, PiecewiseConstantDecay,
    CosineDecay, CosineDecayRestarts,
)  # fmt: skip
