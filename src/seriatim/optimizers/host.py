"""What an optimizer shows between two steps: its rate, its count, its arrays in the order of Keras's files.

Floor 2. The mutable face; nothing here runs inside a compiled program. `state` is the one home of the
arrays between fits: None before the first, a dict as `init` makes it afterwards.
"""

import copy
import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from ..base import settings
from ..base.report import UsageError
from .schedules import LearningRateSchedule


class RateFixed(UsageError, TypeError):
    """The learning rate follows a schedule, so it cannot be set to a number."""


class Reading:
    """A number that was read off an optimizer: plain, with Keras's `.numpy()`, `.value` and `.assign(x)`.

    It does not follow later changes; read it again.
    """

    shape = ()

    def __new__(cls, value, source, name):
        self = super().__new__(cls, value)
        self.source, self.name = source, name
        return self

    def numpy(self):
        return np.asarray(self, self.dtype)[()]

    @property
    def value(self):
        return self.numpy()

    def assign(self, value):
        """Set it on the optimizer."""
        setattr(self.source, self.name, value)

    def __reduce__(self):
        return type(self).__mro__[2], (type(self).__mro__[2](self),)


class Rate(Reading, float):
    """`float(optimizer.learning_rate)`: the float32 value."""

    dtype = "float32"


class Count(Reading, int):
    """`int(optimizer.iterations)`."""

    dtype = "int32"


class Entry:
    """One array of an optimizer's state, as `optimizer.variables` lists it."""

    def __init__(self, source, position, path):
        self.source, self.position, self.path = source, position, path
        self.name = path.rpartition("/")[2]

    @property
    def value(self):
        return jnp.asarray(self.numpy())

    def numpy(self):
        return self.source.to_list(self.source.present())[self.position]

    @property
    def shape(self):
        return self.numpy().shape

    @property
    def dtype(self):
        return str(self.numpy().dtype)

    def assign(self, value):
        arrays = self.source.to_list(self.source.present())
        arrays[self.position] = np.broadcast_to(np.asarray(value), arrays[self.position].shape)
        self.source.set_weights(arrays)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype)

    def __eq__(self, other):
        return self.numpy() == np.asarray(other)

    __hash__ = object.__hash__

    def __float__(self):
        return float(self.numpy())

    def __int__(self):
        return int(self.numpy())

    def __getitem__(self, index):
        return self.value[index]

    def __repr__(self):
        return f"<Entry path={self.path}, shape={self.shape}, dtype={self.dtype}>"


# ---- places in a tree --------------------------------------------------------------------------------


def with_places(function, tree, place=()):
    """The same dicts, lists and tuples, with function(place, leaf) for each leaf, in the order as written.

    `jax.tree` visits dicts in alphabetical order; files keep the order in which a layer declared.
    """
    if isinstance(tree, dict):
        return {key: with_places(function, item, (*place, key)) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        items = [with_places(function, item, (*place, i)) for i, item in enumerate(tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return None if tree is None else function(place, tree)


def places(tree):
    """Where the leaves are: [(0, "kernel"), (0, "bias"), (2, "kernel"), …]."""
    found = []
    with_places(lambda place, leaf: found.append(place), tree)
    return found


def at(tree, place):
    for key in place:
        tree = tree[key]
    return tree


# ---- the face ----------------------------------------------------------------------------------------


class Host:
    """What `Optimizer` shows on the host."""

    _state = None
    _places = _shapes = ()
    _paths = {}  # replaced, never changed
    _variables = ()
    _eager = None
    changed = False  # True: something was set by hand since the last `optimizer.state = …`

    @property
    def state(self):
        """The arrays of the optimizer between fits, or None."""
        return self._state

    @state.setter
    def state(self, value):
        self._state, self.changed = value, False

    @property
    def built(self):
        return self._state is not None

    def parts(self):
        """The optimizers that move weights: this one, or those inside it."""
        return [self]

    def meet(self, paths, model=None):
        """Told the paths of the weights, and the model's name, before a program is made."""

    def present(self):
        """The state, or what is known before there is one: the count and the rate."""
        return self.begin(()) if self._state is None else self._state

    def fresh(self):
        """The same optimizer without arrays, for another model."""
        twin = copy.copy(self)
        twin.__dict__.update(_state=None, _places=(), _shapes=(), _paths={}, changed=False)
        return twin

    def edit(self, **entries):
        """Set entries of the state by hand."""
        if self._state is not None:
            self._state = {**self._state, **{k: resembling(v, self._state.get(k)) for k, v in entries.items()}}
        self.changed = True

    # ---- rate and count ------------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The rate of the next step. Set it to a number (compiles nothing), or to a schedule."""
        kept = self._learning_rate
        if isinstance(kept, float):
            kept = kept if self._state is None else self._state.get("learning_rate", kept)
            return Rate(np.float32(kept), self, "learning_rate")
        return Rate(np.float32(call_rate(kept, np.int32(self.steps))), self, "learning_rate")

    @learning_rate.setter
    def learning_rate(self, value):
        value = self.accept("learning_rate", value)
        if not isinstance(value, float):
            if self._state is not None:
                self._state = {k: v for k, v in self._state.items() if k != "learning_rate"}
            self._learning_rate, self.changed = value, True
            return
        if isinstance(self.__dict__.get("_learning_rate"), LearningRateSchedule):
            raise RateFixed(
                "the learning rate follows a schedule", at=self._birthplace,
                saw=f"learning_rate = {value!r} on an optimizer made with {self._learning_rate!r}",
                want="a schedule, or nothing",
                fix=f"make the optimizer with a number: {type(self).__name__}(learning_rate={value!r})",
            )  # fmt: skip
        self._learning_rate = value
        self.edit(learning_rate=np.asarray(value, rate_dtype()))

    @property
    def steps(self):
        """How many gradients have been seen (with accumulation, more than `iterations`)."""
        return 0 if self._state is None else int(self._state["iteration"])

    @property
    def iterations(self):
        """How many updates have been made."""
        return Count(self.steps // (self.gradient_accumulation_steps or 1), self, "iterations")

    @iterations.setter
    def iterations(self, value):
        if self._state is None and int(value):
            raise UsageError("this optimizer has no count to set yet", fix="build(variables), or fit, before")
        self.edit(iteration=np.int32(int(value) * (self.gradient_accumulation_steps or 1)))

    # ---- the arrays as a list ------------------------------------------------------------------------

    def note(self, params, paths=None):
        """Remember the places, names and shapes of the weights; no array is kept."""
        self._places = tuple(places(params))
        self._shapes = with_places(lambda place, w: jax.ShapeDtypeStruct(w.shape, w.dtype), params)
        if paths is not None:
            listed = list(paths) if is_flat(paths) else [at(paths, place) for place in self._places]
            self._paths = dict(zip(self._places, listed, strict=True))
        elif not self._paths.keys() >= set(self._places):
            self._paths = {}

    def path(self, place):
        """`dense/kernel`, as far as `init` was told; else the keys of the tree, `0/kernel`."""
        return self._paths.get(place) or "/".join(map(str, place))

    def addresses(self, state):
        """Where Keras's list of variables finds its arrays: count, rate, averages, sums, slots by weight, scalars."""
        yield from ((name,) for name in ("iteration", "learning_rate") if name in state)
        for name in ("ema", "accumulated"):
            if name in state:
                yield from ((name, *place) for place in self._places)
        for group in self.slot_groups():
            for place in self._places:
                for slot in group:
                    if at(state["slots"][slot], place) is not None:
                        yield ("slots", slot, *place)
        yield from ((name,) for name in self.scalars)

    def to_list(self, opt_state, params=None):
        """The arrays of a state as NumPy arrays, in the order of `optimizer.variables` in Keras's files.

        `params` (with each layer's weights in declared order) tells the order of the weights, unless
        `init` has seen them.
        """
        return [np.asarray(array) for array in self.listed(opt_state, params)]

    def listed(self, opt_state, params=None):
        if params is not None:
            self.note(params)
        return [at(opt_state, address) for address in self.addresses(opt_state)]

    def from_list(self, arrays, params):
        """The state for `params` with these arrays, in the order of `to_list`; a UsageError if one does not fit."""
        blank = self.init(params)
        addresses = list(self.addresses(blank))
        arrays = list(arrays)
        if len(arrays) != len(addresses):
            raise UsageError(
                f"{self.name} holds {len(addresses)} arrays for this model", saw=f"a list of {len(arrays)}",
                want=", ".join([self.address_name(a) for a in addresses[:6]] + ["…"] * (len(addresses) > 6)),
            )  # fmt: skip
        values = {}
        for address, array in zip(addresses, arrays, strict=True):
            old = at(blank, address)
            if tuple(np.shape(array)) != tuple(old.shape):
                raise UsageError(
                    f"{self.address_name(address)} has another shape", saw=str(np.shape(array)), want=str(old.shape)
                )
            array = array if isinstance(array, jax.Array) else np.asarray(array)
            values[address] = array.astype(old.dtype)
        return with_places(lambda place, leaf: values.get(place, leaf), blank)

    def address_name(self, address):
        kind, *rest = address
        if kind == "slots":
            kind, rest = rest[0], rest[1:]
        word = {"ema": "average", "accumulated": "gradient_accumulator"}.get(kind, kind)
        return f"{self.name}/{self.path(tuple(rest)).replace('/', '_')}_{word}" if rest else f"{self.name}/{word}"

    @property
    def variables(self):
        """Views of every array, in Keras's order."""
        state = self.present()
        return [Entry(self, i, self.address_name(address)) for i, address in enumerate(self.addresses(state))]

    def get_weights(self):
        """The arrays as a list of NumPy arrays."""
        return self.to_list(self.present())

    def set_weights(self, weights):
        """Set every array from a list in the order of `variables`."""
        if self._state is None:
            raise UsageError(
                "this optimizer has no arrays yet", saw="set_weights() before build()",
                fix="optimizer.build(model.trainable_variables)",
            )  # fmt: skip
        new = self.from_list(weights, self._shapes)
        self._state, self.changed = jax.tree.map(resembling, new, self._state), True

    # ---- custom loops: one step at a time, on variables ----------------------------------------------

    def build(self, variables):
        """Make the arrays for these variables (a list, as in a custom training loop)."""
        if self._state is None:
            self._variables = list(variables)
            paths = [getattr(v, "path", None) or getattr(v, "name", None) or str(i) for i, v in enumerate(variables)]
            self.state = self.init([jnp.asarray(value_of(v)) for v in variables], paths)

    def apply_gradients(self, grads_and_vars):
        """One step for pairs (gradient, variable); the count of steps."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return Count(self.steps, self, "iterations")

    def apply(self, grads, trainable_variables=None):
        """One step: each variable is assigned its new value, under its constraint."""
        grads = list(grads)
        if not grads:
            return
        variables = list(self._variables if trainable_variables is None else trainable_variables)
        if not variables or len(variables) != len(grads):
            raise UsageError(
                "there is one gradient for each variable", saw=f"{len(grads)} gradients, {len(variables)} variables",
                fix="optimizer.build(variables), or apply(grads, variables)",
            )  # fmt: skip
        self.build(variables)
        rows = self.rows_of(grads, variables)
        whole = len(rows) == len(self._variables)
        state = self._state if whole else pick(self._state, [row for row, _, _ in rows])
        params = [jnp.asarray(value_of(v)) for _, _, v in rows]
        rate = None if isinstance(self._learning_rate, float) else self.learning_rate.numpy()
        if self._eager is None:
            self._eager = [jax.jit(self.advance)]
        params, state = self._eager[0]([jnp.asarray(g) for _, g, _ in rows], state, params, rate)
        self.state = state if whole else put_back(self._state, state, [row for row, _, _ in rows])
        for (_, _, variable), value in zip(rows, params, strict=True):
            constraint = getattr(variable, "constraint", None)
            variable.assign(value if constraint is None else constraint(value))

    def rows_of(self, grads, variables):
        """(position among the variables built for, gradient, variable) of those that have a gradient."""
        known = {identity(v): i for i, v in enumerate(self._variables)}
        strangers = [v for v in variables if identity(v) not in known]
        if strangers:
            raise UsageError(
                f"{self.name} was built for other variables", saw=f"{getattr(strangers[0], 'path', strangers[0])!r}",
                want=f"one of the {len(known)} variables of its first step" if known else "the weights of its model",
                fix=f"make a new {type(self).__name__} for these variables",
            )  # fmt: skip
        without = [getattr(v, "path", "variable") for g, v in zip(grads, variables, strict=True) if g is None]
        if len(without) == len(grads):
            raise UsageError("No gradients provided for any variable.", saw="only None", want="arrays")
        if without:
            warnings.warn(f"Gradients do not exist for variables {without}; they stay as they are.", stacklevel=4)
        return [(known[identity(v)], g, v) for g, v in zip(grads, variables, strict=True) if g is not None]

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """(new trainable_variables, new optimizer_variables): one step on lists of arrays; nothing else moves."""
        params = list(trainable_variables)
        state = self.from_list(optimizer_variables, params)
        params, state = self.advance(list(grads), state, params)
        return params, self.listed(state)

    def finalize_variable_values(self, var_list):
        """The end of a custom loop: averaged values take the place of the last ones, if `use_ema`."""
        if self.use_ema and self._state is not None:
            for variable, value in zip(var_list, jax.tree.leaves(self._state["ema"]), strict=True):
                variable.assign(value)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in ("_eager", "_variables")}


def rate_dtype():
    """Rates are kept in float32, or in float64 where that is `floatx()` and switched on."""
    return np.dtype(jax.dtypes.canonicalize_dtype("float64" if settings.floatx() == "float64" else "float32"))


def call_rate(rate, step):
    """A rate that is a function: of the step (every schedule), or of nothing."""
    return rate(step) if takes_step(rate) else rate()


def takes_step(function):
    if isinstance(function, LearningRateSchedule):
        return True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def resembling(value, old):
    """`value` where `old` lives, so that a compiled program takes it as it took the other."""
    if not isinstance(old, jax.Array):
        return value
    value = np.asarray(value, old.dtype)
    return jax.device_put(value, old.sharding) if old.committed else jax.device_put(value)


def is_flat(paths):
    return isinstance(paths, (list, tuple)) and all(isinstance(path, str) for path in paths)


def value_of(variable):
    return getattr(variable, "value", variable)


def identity(variable):
    """The same for two views of one array."""
    layer = getattr(variable, "layer", None)
    return id(variable) if layer is None else (id(layer), variable.key)


def pick(tree, rows):
    """A flat state with some of its rows."""
    if isinstance(tree, dict):
        return {key: pick(item, rows) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return tuple(pick(item, rows) for item in tree)
    return [tree[row] for row in rows] if isinstance(tree, list) else tree


def put_back(old, new, rows):
    """A flat state whose `rows` come from `new`."""
    if isinstance(old, dict):
        return {key: put_back(item, new[key], rows) for key, item in old.items()}
    if isinstance(old, tuple):
        return tuple(put_back(item, part, rows) for item, part in zip(old, new, strict=True))
    if not isinstance(old, list):
        return new
    whole = list(old)
    for row, item in zip(rows, new, strict=True):
        whole[row] = item
    return whole
