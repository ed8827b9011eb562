"""An optimizer is a formula for one array; all that surrounds it is the same for every one, and written here once.

Floor 2. Each step, in Keras's order: unscale, sum up (accumulation), clip, decay, move, average. The rate
is an array of the state, so a new rate compiles nothing; a schedule is computed inside the program.
"""

import inspect
import math
import re
import warnings
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..base import fields, names, registry
from ..base.config import Config
from ..base.fields import Bool, Field, Fraction, Optional, OptionalInt, OptionalNumber, OptionalText, Refused, Whole
from ..base.report import UsageError
from ..kernels import serve, update
from .host import Host, call_rate, rate_dtype, with_places


class LearningRate(Field):
    """A number, a schedule, or a function of the step or of nothing."""

    want = "a number such as 0.001, a schedule, or a function that returns the rate"
    bad = "fast"

    def read(self, value, owner):
        if isinstance(value, dict):
            return registry.from_config("schedule", value)
        if callable(value) and not inspect.isclass(value):
            return value
        if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
            raise Refused
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise Refused from None
        if not math.isfinite(number):
            raise Refused
        return number

    def write(self, value):
        return float(np.float32(value)) if isinstance(value, float) else registry.to_config(value)

    def source(self, value):
        return repr(value) if isinstance(value, float) else fields.source(value)


Rated = Annotated[Any, LearningRate()]
HEAD = (  # the order of Keras's configs
    "name", "learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum",
    "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip


class Exclusion(NamedTuple):
    """Which weights do not decay: called with a weight's path. Two models may share a program if they are equal."""

    words: tuple = ()
    paths: frozenset = frozenset()
    mark: Any = None  # not None: names single weights, so never shared

    def __call__(self, path):
        name = path.rpartition("/")[2]
        return path in self.paths or bool(self.words and re.search("|".join(self.words), name))


class Optimizer(Host, Config):
    """Base of all optimizers. A member names its `slots` and writes `move`, the formula for one array.

    `init(params)` makes the state, a dict of arrays; `update(grads, state, params)` is optax's form of a
    step, and `advance(grads, state, params)` gives the new params themselves. All three are pure.

    >>> class Signs(Optimizer):
    ...     learning_rate: Rated = 0.01
    ...     def move(self, g, w, slots, rate):
    ...         return w - rate * jnp.sign(g), slots
    """

    family: ClassVar[str] = "optimizer"
    slots: ClassVar[tuple[str, ...]] = ()  # arrays remembered for each weight, by Keras's names
    scalars: ClassVar[dict[str, float]] = {}  # numbers remembered for the whole model, with first values
    behind: ClassVar[tuple[str, ...]] = ()  # own arguments that stand behind the common tail

    learning_rate: Rated
    weight_decay: OptionalNumber = None
    clipnorm: OptionalNumber = None
    clipvalue: OptionalNumber = None
    global_clipnorm: OptionalNumber = None
    use_ema: Bool = False
    ema_momentum: Fraction = 0.99
    ema_overwrite_frequency: Annotated[int | None, Optional(Whole(1))] = None
    loss_scale_factor: OptionalNumber = None
    gradient_accumulation_steps: OptionalInt = None
    name: OptionalText = None

    # ---- what a member writes ------------------------------------------------------------------------

    def more_slots(self):
        """Slots that depend on the arguments; each stands in files behind all weights of those before."""
        return ()

    def first(self, slot, w):
        """The first value of a slot for the weight `w`."""
        return blank(w)

    def once(self, rate, t, scalars):
        """(what `move` needs to know of this step, new scalars): computed once, not for each array."""
        return rate, scalars

    def rule(self, rate, now):
        """The kernel that moves all arrays in one pass (kernels/update.py), if the formula has one."""
        return

    def move(self, g, w, slots, now):
        """(new weight, new slots) of one array, given its gradient `g` and what `once` returned."""
        raise NotImplementedError(f"{type(self).__name__} defines no move(g, w, slots, now)")

    # ---- arguments -----------------------------------------------------------------------------------

    def __init_subclass__(cls, **rest):
        super().__init_subclass__(**rest)
        if not isinstance(vars(cls).get("learning_rate", property()), property):
            del cls.learning_rate  # its default stands in the constructor; the name reads the rate of today
        own = [name for name in inspect.get_annotations(cls) if name in cls.constructor]
        if "learning_rate" in own:  # a class that names it says its whole order; Keras's common tail follows
            order = [name for name in own if name not in cls.behind]
            order += [name for name in cls.constructor if name not in own] + list(cls.behind)
            cls.constructor = {name: cls.constructor[name] for name in order}
        if "rule" not in vars(cls) and ("move" in vars(cls) or "once" in vars(cls)):
            cls.rule = Optimizer.rule  # a formula of its own is not the kernel of the class above
        if "__init__" not in vars(cls):
            cls.__signature__ = inspect.Signature([a.parameter() for a in cls.constructor.values()])

    def translate(self, kwargs):
        if "lr" in kwargs:
            raise UsageError(
                f"{type(self).__name__}() has no argument 'lr'", at=self._birthplace, saw=f"lr={kwargs['lr']!r}",
                want="learning_rate", fix=f"learning_rate={kwargs['lr']!r}",
            )  # fmt: skip
        if kwargs.pop("decay", None):
            warnings.warn(
                "decay is no longer an argument of optimizers and is ignored; use a schedule, such as InverseTimeDecay",
                stacklevel=4,
            )
        return kwargs

    def validate(self):
        self.auto_named, self.changed = self.name is None, False
        if self.auto_named:
            self.name = names.fresh(names.snake(type(self).__name__))
        steps = self.gradient_accumulation_steps
        if steps is not None and (steps < 0 or steps == 1):
            raise UsageError(
                "gradient_accumulation_steps counts the gradients that are averaged into one update",
                at=self._birthplace, saw=repr(steps), want="2 or more, or None", fix="leave it out",
            )  # fmt: skip
        clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, name) is not None]
        if len(clips) > 1:
            raise UsageError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set", at=self._birthplace,
                saw=", ".join(f"{name}={getattr(self, name)}" for name in clips), want="one of them",
            )  # fmt: skip

    def argument(self, name):
        if name == "name" and self.auto_named:
            return None
        if name == "learning_rate":
            kept = self._learning_rate
            return float(str(self.learning_rate.numpy())) if isinstance(kept, float) else kept
        return super().argument(name)

    def get_config(self):
        config = {**super().get_config(), "name": self.name}
        return {**{name: config[name] for name in HEAD if name in config}, **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described; words that only older Keras wrote are left aside."""
        config = {k: v for k, v in config.items() if k not in ("jit_compile", "is_legacy_optimizer")}
        with registry.custom_object_scope(custom_objects):
            return cls(**config)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """No decay for these variables, nor for those whose name matches one of `var_names` (as in "bias")."""
        paths = frozenset(getattr(v, "path", None) or getattr(v, "name", str(v)) for v in var_list or ())
        self._excluded = Exclusion(tuple(var_names or ()), paths, object() if paths else None)
        self._eager = None

    # ---- the pure part -------------------------------------------------------------------------------

    def init(self, params, paths=None):
        """The first state for `params` (dicts in tuples or lists): NumPy arrays, nothing compiled.

        `paths` names the weights ("dense/kernel"), as a tree like `params` or a list in declared order.
        """
        self.note(params, paths)
        return self.begin(params)

    def begin(self, params):
        state = {"iteration": np.zeros((), np.int32)}
        if isinstance(self._learning_rate, float):
            state["learning_rate"] = np.asarray(self._learning_rate, rate_dtype())
        if self.use_ema:
            state["ema"] = jax.tree.map(blank, params)
        if self.gradient_accumulation_steps:
            state["accumulated"] = jax.tree.map(blank, params)
        return {**state, **self.memory(params)}

    def memory(self, params):
        """What the formula remembers: a tree like `params` for each slot, and the scalars."""
        slots = {slot: self.remember(slot, params) for group in self.slot_groups() for slot in group}
        return {"slots": slots, **{name: np.asarray(x, np.float32) for name, x in self.scalars.items()}}

    def remember(self, slot, params):
        return jax.tree.map(lambda w: self.first(slot, w), params)

    def slot_groups(self):
        """Slots by how Keras lists them: within a group they alternate, weight by weight."""
        return ((self.slots,) if self.slots else ()) + tuple((slot,) for slot in self.more_slots())

    def advance(self, grads, opt_state, params, rate=None, finite=True):
        """One step: (new params, new state). `rate` replaces the learning rate, if given.

        Where `finite` (an array) is False, nothing moves: params and state are as they were.
        """
        if self.loss_scale_factor is not None:
            grads = jax.tree.map(lambda g: g / self.loss_scale_factor, grads)
        steps = self.gradient_accumulation_steps
        if not steps and not self.use_ema and self.serves(grads, params, opt_state):
            new, state = self.turn(grads, opt_state, params, rate, finite)
            return new, {**state, "iteration": opt_state["iteration"] + jnp.int32(finite)}
        if steps:
            full = (opt_state["iteration"] + 1) % steps == 0
            new, state = jax.lax.cond(full, self.turn_on_mean, self.sum_up, grads, opt_state, params, rate)
        else:
            new, state = self.turn(grads, opt_state, params, rate)
        if self.use_ema:
            new, state = self.keep_average(new, state)
        state = {**state, "iteration": opt_state["iteration"] + 1}
        return keep(finite, (new, state), (params, opt_state))

    def turn(self, grads, state, params, rate=None, finite=None):
        """Clip, decay, move. With `finite`, by a kernel."""
        rate = self.rate(state) if rate is None else rate
        grads = self.clip(grads)
        if finite is not None:
            return self.move_by_kernel(grads, state, params, rate, self.updates(state) + 1, finite)
        params = self.decay(params, state, rate)
        return self.move_all(grads, state, params, rate, self.updates(state) + 1)

    def serves(self, grads, params, state):
        """Whether a kernel moves these arrays."""
        if not serve(*jax.tree.leaves((grads, params))) or not jax.tree.leaves(params):
            return False
        return serve(*jax.tree.leaves(state.get("slots"))) and self.rule(jnp.float32(0), None) is not None

    def sum_up(self, grads, state, params, rate=None):
        return params, {**state, "accumulated": add(state["accumulated"], grads)}

    def turn_on_mean(self, grads, state, params, rate=None):
        total, steps = add(state["accumulated"], grads), self.gradient_accumulation_steps
        params, state = self.turn(jax.tree.map(lambda g: g / steps, total), state, params, rate)
        return params, {**state, "accumulated": jax.tree.map(jnp.zeros_like, total)}

    def updates(self, state):
        """How many updates lie behind: steps, by `gradient_accumulation_steps`."""
        return state["iteration"] // (self.gradient_accumulation_steps or 1)

    def rate(self, state):
        """The learning rate of this step. A function of nothing is asked once, while the step is compiled."""
        kept = self._learning_rate
        rate = state["learning_rate"] if isinstance(kept, float) else call_rate(kept, state["iteration"])
        return jnp.asarray(rate, rate_dtype())

    def clip(self, grads):
        """g by its norm, by the norm of all, or by value: whichever was asked for."""
        if self.clipnorm and self.clipnorm > 0:
            return jax.tree.map(lambda g: g * self.clipnorm / jnp.maximum(norm([g]), self.clipnorm), grads)
        if self.global_clipnorm and self.global_clipnorm > 0:
            size = norm(jax.tree.leaves(grads))
            scale = self.global_clipnorm * jnp.minimum(1.0 / size, 1.0 / self.global_clipnorm)
            scale = jnp.where(jnp.isfinite(size), scale, jnp.nan)  # an infinite gradient is not hidden
            return jax.tree.map(lambda g: g * scale, grads)
        bound = self.clipvalue
        if bound and bound > 0:
            return jax.tree.map(lambda g: jnp.clip(g, -bound, bound), grads)
        return grads

    def decay(self, params, state, rate):
        """w ← w − w · weight_decay · rate, for every weight that is not excluded (biases too, as in Keras)."""
        strengths = self.decay_strengths(params, state)
        return jax.tree.map(lambda w, s: cast(w - w * s * rate, w) if is_used(s) else w, params, strengths)

    def decay_strengths(self, params, state):
        """A number for each weight; 0 for those that do not decay."""
        strength = 0.0 if self.weight_decay is None else self.weight_decay
        return jax.tree.map(lambda decays: strength if decays else 0.0, self.decaying(params))

    def decaying(self, params):
        excluded = self.__dict__.get("_excluded", Exclusion())
        return with_places(lambda place, w: not excluded(self.path(place)), params)

    def move_all(self, grads, state, params, rate, t):
        """The member's formula, array by array, in float32 at least."""
        weights, tree = jax.tree.flatten(params)
        precision = jnp.result_type(jnp.float32, *weights)
        scalars = {name: state[name] for name in self.scalars}
        now, scalars = self.once(jnp.asarray(rate, precision), jnp.asarray(t, precision), scalars)
        before = {slot: tree.flatten_up_to(rows) for slot, rows in state["slots"].items()}
        after = {slot: [] for slot in before}
        moved = []
        for i, (g, w) in enumerate(zip(tree.flatten_up_to(grads), weights, strict=True)):
            own = {slot: rows[i] for slot, rows in before.items()}
            new, slots = self.move(wide(g), wide(w), {slot: wide(x) for slot, x in own.items()}, now)
            moved.append(cast(new, w))
            for slot, old in own.items():
                after[slot].append(cast(slots[slot], old))
        slots = {slot: jax.tree.unflatten(tree, rows) for slot, rows in after.items()}
        scalars = {name: cast(x, state[name]) for name, x in scalars.items()}
        return jax.tree.unflatten(tree, moved), {**state, "slots": slots, **scalars}

    def move_by_kernel(self, grads, state, params, rate, t, finite):
        """Decay and formula of all arrays, in one pass and in place."""
        weights, tree = jax.tree.flatten(params)
        rate = jnp.asarray(rate, jnp.float32)
        now, _ = self.once(rate, jnp.asarray(t, jnp.float32), {})
        decay = jax.tree.leaves(self.decay_strengths(params, state))
        names = [slot for group in self.slot_groups() for slot in group]
        slots = [tree.flatten_up_to(state["slots"][slot]) for slot in names]
        moved, after = update.move(self.rule(rate, now), finite, tree.flatten_up_to(grads), weights, slots, decay)
        rows = {slot: jax.tree.unflatten(tree, new) for slot, new in zip(names, after, strict=True)}
        return jax.tree.unflatten(tree, moved), {**state, "slots": rows}

    def keep_average(self, params, state):
        """ema ← momentum · ema + (1 − momentum) · w; and w ← ema, every `ema_overwrite_frequency` updates.

        The first step of all copies. With accumulation the average moves at every step (as in Keras).
        """
        count, every = self.updates(state), self.ema_overwrite_frequency
        momentum = jnp.where(count != 0, jnp.float32(self.ema_momentum), 0.0)
        ema = jax.tree.map(lambda a, w: cast(momentum * a + (1 - momentum) * w, a), state["ema"], params)
        if every:
            params = jax.tree.map(lambda a, w: jnp.where((count + 1) % every == 0, a, w), ema, params)
        return params, {**state, "ema": ema}

    def finish(self, params, opt_state):
        """The params to keep at the end of training: the averaged ones if `use_ema`, else the same object."""
        if not self.use_ema or int(opt_state["iteration"]) == 0:
            return params
        return jax.tree.map(jnp.array, opt_state["ema"])

    def at_rate(self, opt_state, rate):
        """The same state with another learning rate."""
        return {**opt_state, "learning_rate": rate}

    def scale_loss(self, loss, opt_state=None):
        """The loss to take the gradient of: times `loss_scale_factor`, which `advance` divides out again."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # ---- optax's form --------------------------------------------------------------------------------

    def update(self, grads, opt_state, params=None):
        """(updates, new state), where new params = params + updates."""
        if params is None:
            raise UsageError(f"{self.name}.update needs the params", fix="update(grads, opt_state, params)")
        new, state = self.advance(grads, opt_state, params)
        return jax.tree.map(jnp.subtract, new, params), state

    def transformation(self):
        """This optimizer as an `optax.GradientTransformation`."""
        import optax

        return optax.GradientTransformation(self.init, self.update)


def blank(w, value=0.0, shape=None, dtype=None):
    """An array like `w`, filled with one value: NumPy's, unless `w` is being traced."""
    shape, dtype = w.shape if shape is None else shape, dtype or w.dtype
    if isinstance(w, jax.core.Tracer):
        return jnp.full(shape, value, dtype)
    return np.full(shape, value, dtype) if value else np.zeros(shape, dtype)


def keep(finite, new, old):
    """`new` where the step is finite, `old` elsewhere."""
    return new if finite is True else jax.tree.map(lambda n, o: n if n is o else jnp.where(finite, n, o), new, old)


def is_used(number):
    """Whether a constant is not 0; one that is traced, for it differs within a population, may be anything."""
    return isinstance(number, jax.core.Tracer) or number != 0


def wide(x):
    """At least float32: half precision is kept, not computed in."""
    return x.astype(jnp.float32) if x is not None and jnp.dtype(x.dtype).itemsize < 4 else x


def cast(x, like):
    return x if x is None or x.dtype == like.dtype else x.astype(like.dtype)


def norm(arrays):
    """√Σ x², over all arrays."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(wide(x))) for x in arrays))


def add(total, grads):
    return jax.tree.map(lambda a, g: cast(a + g, a), total, grads)
