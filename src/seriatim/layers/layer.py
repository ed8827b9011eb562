"""A layer answers two questions: which arrays do you need for this shape, and what do you do with them?

Floor 2. `declare(shape)` and `forward(w, x, call)` (or `apply`, if state moves) are all that a member
writes. The rest of this file is the one generic piece that allocates, views and names from that.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..base import names, registry, settings
from ..base.config import Config
from ..base.fields import Bool, DType, Named, OptionalText, Regular
from ..base.policy import DTypePolicyMap
from ..base.report import UsageError
from ..base.signature import check_rank
from ..math import activations, constraints, initializers, regularizers  # noqa: F401 - they fill the tables of names
from ..math.precision import doubles
from . import custom
from .contract import Call, under, within
from .infer import KerasTensor, output_shape, output_spec
from .stateless import stateless_call, with_activity
from .variable import Variable, is_traced


class Layer(Config, keyword=True):
    """One step of the chain. Write `declare` and `forward`; or, as for Keras, `build` and `call`.

    Every layer also takes `name`, `dtype`, `trainable` and `activity_regularizer` by keyword.

    >>> from seriatim.layers import Layer
    >>> class Double(Layer):
    ...     def call(self, x):
    ...         return 2 * x
    """

    family: ClassVar[str] = "layer"
    signature: ClassVar[str] = "b ... -> b ..."
    masking: ClassVar[str] = "drop"  # what becomes of a mask: "pass" or "drop"
    integers: ClassVar[bool] = False  # True: takes whole numbers as they are
    full_precision: ClassVar[bool] = False  # True: computes in the variables' dtype whatever the policy
    host: ClassVar[bool] = False  # True: `feed` prepares the rows in NumPy, before the compiled program
    traced: ClassVar[bool] = True  # False: all is done in `feed`; in the compiled program the layer is the identity
    convolves: ClassVar[bool] = False  # True: XLA's CPU backend is slow with it inside a compiled loop
    single: ClassVar[int | None] = None  # the axes of one sample, if the layer takes one without its batch axis too
    weightless: ClassVar[bool] = False  # True: `declare` checks the shape and asks for nothing
    keras_style: ClassVar[bool] = False  # True: written as for Keras, with `call`
    edits: ClassVar[int] = 0  # how often an argument of any layer was assigned after it was made
    store: ClassVar[str] = ""  # the group inside a weights file that holds this layer's own arrays

    name: OptionalText = None
    trainable: Bool = True
    dtype: DType = None
    activity_regularizer: Regular = None
    autocast: Bool = True

    def __init_subclass__(cls, **rest):
        super().__init_subclass__(**rest)
        if "call" in vars(cls) or cls.keras_style:
            custom.adopt(cls, Layer)

    def __init__(self, *args, **kwargs):
        self.box = {}  # the layer's current arrays, by name: their only home between two calls
        super().__init__(*args, **kwargs)
        self.auto_named = self.name is None
        if self.auto_named:
            self.name = names.fresh(names.snake(type(self).__name__))

    def __setattr__(self, name, value):
        """An activation, regularizer, … that is assigned later is read as the constructor reads it."""
        if "auto_named" in self.__dict__ and name in self.constructor:
            if isinstance(self.constructor[name].field, Named):
                value = self.accept(name, value)
            Layer.edits += 1
        super().__setattr__(name, value)

    # ---- what a member writes ------------------------------------------------------------------

    def declare(self, shape):
        """The arrays this layer needs for an input of `shape` (batch axis first, None if unknown)."""
        return ()

    def forward(self, w, x, call):
        """The output for `x`, given the arrays `w` by name."""
        raise NotImplementedError(f"{type(self).__name__} defines neither forward, apply nor call")

    def apply(self, w, x, call):
        """The output, and what moved: {name: array} of declared weights with trainable=False."""
        return self.forward(w, x, call), {}

    def feed(self, x):
        """A host layer's first half: what enters the compiled program for these rows."""
        return x

    def next_mask(self, x, mask):
        """The mask behind this layer, given its input and the mask before it."""
        return mask if self.masking == "pass" else None

    @property
    def children(self):
        """Layers inside this one, by the name under which their weights are found."""
        return custom.inner_layers(self, Layer) if self.keras_style else {}

    def inner_shapes(self, shape):
        """The input shapes of the layers inside, by their names, for an input of `shape`."""
        return {}

    def entering(self, name, number):
        """A numeric argument as it enters a program that takes it as an array, one for each member of a population."""
        return np.float32(number)

    # ---- arguments -----------------------------------------------------------------------------

    def translate(self, kwargs):
        """Keras's words for the first layer's input: kept aside, read by the chain."""
        if "input_dim" in kwargs and "input_dim" not in self.constructor:
            kwargs["input_shape"] = (kwargs.pop("input_dim"),)
        if "batch_input_shape" in kwargs:
            batch, *rest = kwargs.pop("batch_input_shape")
            kwargs["input_shape"], self.declared_batch = tuple(rest), batch
        if "batch_size" in kwargs and "batch_size" not in self.constructor:
            self.declared_batch = kwargs.pop("batch_size")
        if "input_shape" in kwargs and "input_shape" not in self.constructor:
            shape = kwargs.pop("input_shape")
            if shape is not None:
                if not np.iterable(shape):
                    raise UsageError(
                        "input_shape is a tuple of sizes without the batch axis",
                        saw=f"input_shape={shape!r}", fix=f"input_shape=({shape},)",
                    )  # fmt: skip
                self.declared_input = (getattr(self, "declared_batch", None), *shape)
        return kwargs

    def get_config(self):
        config = super().get_config()
        head = {"name": self.name, "trainable": self.trainable, "dtype": config.pop("dtype")}
        for name in ("name", "trainable", "autocast"):
            config.pop(name, None)
        if config.get("activity_regularizer", 0) is None and self.constructor["activity_regularizer"].keyword:
            config.pop("activity_regularizer")
        return {**head, **config}

    def get_build_config(self):
        shape = self.__dict__.get("input_spec_shape")
        return {"input_shape": list(shape)} if shape is not None and self.built else None

    def argument(self, name):
        if name == "name" and self.auto_named:
            return None
        return self.__dict__["_policy"] if name == "dtype" else super().argument(name)

    def read_member(self, family, value):
        return Named(family).read(value, self)

    # ---- the box: Keras's view of the arrays ---------------------------------------------------

    layer_class: ClassVar[type]

    @property
    def built(self):
        """Whether the arrays are there; a layer that declares none is built from the start, as in Keras."""
        cls = type(self)
        nothing = cls.weightless or cls.declare is Layer.declare
        return self.__dict__.get("_built", nothing and cls.build is Layer.build)

    @built.setter
    def built(self, value):
        self.__dict__["_built"] = bool(value)

    @property
    def arrays(self):
        """All arrays of this layer and the layers inside it, in one flat dict."""
        children, found = self.children, dict(self.box)
        for name, child in children.items():
            found.update(under(name, child.arrays))
        return found

    def put(self, arrays):
        """Set the named arrays, here and in the layers inside."""
        for name, child in self.children.items():
            child.put(within(arrays, name))
        self.box.update({name: array for name, array in arrays.items() if name in self.box})

    def build(self, input_shape=None):
        """Allocate the arrays for `input_shape` (with its batch axis)."""
        if self.keras_style:
            custom.build_inherited(self, input_shape)
            self.built = True
        else:
            self.allocate(self.batched(input_shape))

    def allocate(self, shape, seed=None):
        """Declare, then fill: every array of the layer for inputs of `shape`."""
        if self.__dict__.get("_built"):
            wanted = self.own_weights(shape)
            if self.box.keys() >= {w.name for w in wanted}:
                self.check_kept(wanted, shape)
                return
        check_rank(self, self.signature, shape)
        seed = settings.next_seed() if seed is None else seed
        declared = list(self.declare(shape))
        self.input_spec_shape = shape
        values = {w.name: self.draw(w, i, seed) for i, w in enumerate(declared) if not self.has(w.name)}
        self.fill(values, shape)
        self.built = True

    def check_kept(self, wanted, shape):
        """A UsageError if the arrays that are there are of another input."""
        for w in wanted:
            held = tuple(np.shape(self.box[w.name]))
            if w.trainable and None not in w.shape and held != tuple(w.shape):
                raise UsageError(
                    f"{self.name} was built for another input", at=self._birthplace,
                    saw=f"an input of shape {shape}: {w.name} {tuple(w.shape)}", want=f"one for {w.name} {held}",
                )  # fmt: skip

    def own_weights(self, shape):
        prefixes = tuple(f"{name}/" for name in self.children)
        return [w for w in self.declare(shape) if not (prefixes and w.name.startswith(prefixes))]

    def has(self, name):
        return name in self.arrays

    def fill(self, values, shape):
        """Put first values, into the box and the boxes of the layers inside."""
        shapes = {} if shape is None else self.inner_shapes(shape)
        for name, child in self.children.items():
            child.fill(within(values, name), shapes.get(name))
            child.built = True
        if shape is not None:
            self.input_spec_shape = shape
        prefixes = tuple(f"{name}/" for name in self.children)
        for name, value in values.items():
            if not (prefixes and name.startswith(prefixes)):
                self.box[name] = value

    def draw(self, weight, position, seed=None):
        """The first value of a weight, as a NumPy array."""
        dtype = weight.dtype or self.dtype_policy.variable_dtype
        rng = np.random.default_rng((settings.next_seed() if seed is None else seed, position))
        initializer = weight.initializer
        if hasattr(initializer, "draw"):
            value = initializer.draw(weight.shape, rng)
        else:
            value = initializer(weight.shape, dtype=dtype)
        value = np.asarray(value)
        if tuple(value.shape) != tuple(weight.shape):
            raise UsageError(
                f"the initializer of {self.name}/{weight.name} gave another shape",
                saw=f"{tuple(value.shape)} from {initializer!r}", want=str(tuple(weight.shape)),
            )  # fmt: skip
        return value.astype(jnp.dtype(dtype))

    def __getattr__(self, name) -> Any:
        box = self.__dict__.get("box", {})
        if name in box:
            return Variable.of(self, name, self.declaration(name))
        if name == "bias" and self.__dict__.get("use_bias") is False:
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def declaration(self, name):
        if name in self.__dict__.get("_declared", {}):
            return self._declared[name]
        shape = self.__dict__.get("input_spec_shape")
        return next((w for w in self.declare(shape) if w.name == name), None) if shape is not None else None

    def redeclare(self, weight):
        self.__dict__.setdefault("_declared", {})[weight.name] = weight

    add_weight = add_variable = custom.add_weight
    stateless_call = stateless_call

    # ---- Keras's words ---------------------------------------------------------------------------

    @property
    def dtype_policy(self):
        policy = self.__dict__["_policy"]
        return policy[self.name or ""] if isinstance(policy, DTypePolicyMap) else policy

    @property
    def compute_dtype(self):
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self):
        return self.dtype_policy.variable_dtype

    @property
    def supports_masking(self):
        return self.__dict__.get("_supports_masking", self.masking == "pass")

    @supports_masking.setter
    def supports_masking(self, value):
        self.__dict__["_supports_masking"] = bool(value)

    @property
    def variables(self):
        """Views of every array: this layer's trainable ones, its others, then those of the layers inside."""
        own = [Variable.of(self, name, self.declaration(name)) for name in self.box]
        own.sort(key=lambda v: v.weight is not None and not v.weight.trainable)
        return own + [v for child in self.children.values() for v in child.variables]

    def leaves(self, prefix=""):
        """(its name in `arrays`, Variable) of every array of the layer and of those inside it, each once."""
        for variable in self.variables:
            if variable.layer is self:  # a SpectralNormalization lists a variable of the layer inside as well
                yield prefix + variable.key, variable
        for name, child in self.children.items():
            yield from child.leaves(f"{prefix}{name}/")

    @property
    def weights(self):
        """Views of the arrays that files keep and `get_weights()` lists."""
        return [v for v in self.variables if v.weight is None or v.weight.saved]

    @property
    def trainable_variables(self):
        return [v for v in self.weights if v.trainable]

    @property
    def non_trainable_variables(self):
        return [v for v in self.variables if not v.trainable]

    trainable_weights = trainable_variables

    @property
    def non_trainable_weights(self):
        return [v for v in self.weights if not v.trainable]

    def get_weights(self):
        """The arrays as a list of NumPy arrays, in Keras's order."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights):
        """Set all arrays from a list in the order of `get_weights()`; nothing is set if one does not fit."""
        variables = self.weights
        weights = list(weights)
        if len(weights) != len(variables):
            raise UsageError(
                f"{self.name} holds {len(variables)} arrays",
                saw=f"a list of {len(weights)}",
                want=", ".join(f"{v.path} {v.shape}" for v in variables) or "an empty list (is the layer built?)",
            )
        for variable, value in zip(variables, weights, strict=True):
            if tuple(np.shape(value)) != variable.shape:
                raise UsageError(
                    f"{variable.path} has another shape", saw=str(np.shape(value)), want=str(variable.shape)
                )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    def count_params(self):
        """How many numbers the layer holds."""
        if not self.built:
            raise UsageError(
                f"{self.name} is not built yet, so it holds no weights to count",
                fix="give the model an Input, or call build(input_shape)",
            )
        return sum(v.size for v in self.weights)

    def batched(self, shape):
        """The shape of an input with its batch axis, which one sample lacks."""
        return (1, *shape) if len(shape) == self.single else tuple(shape)

    def compute_output_shape(self, input_shape):
        shape = output_shape(self, self.batched(input_shape))
        return shape[1:] if len(input_shape) == self.single else shape

    def compute_output_spec(self, x, **options):
        """The KerasTensor (or tuple of them) that stands for the output, for one that stands for the input."""
        x = symbol(x)
        spec = output_spec(self, self.batched(x.shape), x.dtype)
        return KerasTensor(spec.shape[1:], spec.dtype) if x.ndim == self.single else spec

    def compute_mask(self, inputs=None, previous_mask=None):
        return self.next_mask(inputs, previous_mask)

    def add_loss(self, loss):
        """Within `call`: a scalar that joins the loss of this step."""
        self.__dict__.setdefault("_penalties", []).append(loss() if callable(loss) else loss)

    def penalties(self):
        found = list(self.__dict__.get("_penalties", []))
        for child in self.children.values():
            found += child.penalties()
        return found

    @property
    def losses(self):
        """The penalties on the weights as they are now, one scalar for each regularizer."""
        own = [v.regularizer(v.value) for v in self.trainable_variables if v.regularizer is not None]
        return own + self.penalties()

    def next_call(self):
        """The number of this call in training, outside of `fit`: from 0 on."""
        calls = self.__dict__.get("_calls", 0)
        self.__dict__["_calls"] = calls + 1
        return calls

    def call(self, x, training=None, mask=None):
        """What the class computes, with the arrays as they are: for `super().call(x)` in a class written for Keras."""
        now = self.__dict__.get("_context") or Call()
        now = now._replace(
            training=now.training if training is None else bool(training), mask=now.mask if mask is None else mask
        )
        y, moved = type(self).inherited.apply(self, self.arrays, x, now)
        self.put({name: array for name, array in moved.items() if name != custom.PENALTY})
        if custom.PENALTY in moved:
            self.add_loss(moved[custom.PENALTY])
        return y

    def probe_call(self):
        return self.__dict__.get("_context") or Call(root=jax.random.key(0))

    def __call__(self, x=None, training=None, mask=None, *, inputs=None):
        """The output for `x`, with the arrays as they are now; builds the layer at the first call.

        Outside of a model, the mask of the output goes along with it (`y._keras_mask`, as in Keras).
        """
        context = self.__dict__.get("_context")
        original = self.__dict__.get("_original", self)
        x = inputs if x is None else x
        if np.ndim(training):  # Keras's layers with `call(inputs, mask)` take it by position
            mask, training = training, None
        x = symbol(x)
        if isinstance(x, KerasTensor):
            self.build(x.shape)
            return self.compute_output_spec(x)
        mask = getattr(x, "_keras_mask", None) if mask is None and context is None else mask
        x = x if is_traced(x) else jax.tree.map(jnp.asarray, x.value if isinstance(x, Variable) else x)
        if original.__dict__.get("_built"):
            if not self.keras_style:
                check_rank(self, self.signature, jax.tree.leaves(x)[0].shape)
        else:  # also where nothing is declared: declaring checks the shape
            original.allocate(tuple((x[0] if isinstance(x, tuple) else x).shape))
            original.built = True
            if original is not self:
                twin = custom.shadow(original, original.arrays, context)
                self.__dict__.update(twin.__dict__)
        if context is None:
            call = Call(training=bool(training), mask=mask, step=self.next_call() if training else None)
        else:
            training = context.training if training is None else bool(training)
            call = context._replace(training=training, mask=mask if mask is not None else context.mask)
        w, x = self.meet(self.arrays, x)
        y, moved = with_activity(self, *self.apply(w, x, call))
        self.put({name: array for name, array in moved.items() if name != custom.PENALTY})
        if custom.PENALTY in moved:
            self.__dict__["_penalties"] = [moved[custom.PENALTY]]
        if context is None and isinstance(y, jax.Array) and not is_traced(y):
            behind = self.next_mask(x, mask)
            if behind is not None:
                y._keras_mask = behind
        return y

    def meet(self, w, x):
        """Bring arrays and input to the dtype the layer computes in."""
        if self.full_precision or not self.autocast:
            return w, x
        policy = self.dtype_policy
        if policy.compute_dtype != policy.variable_dtype:
            w = {name: _to(array, policy.compute_dtype) for name, array in w.items()}
        if not self.integers:
            x = jax.tree.map(lambda leaf: _to(leaf, policy.compute_dtype, whole=True), x)
        return w, x


def symbol(x):
    """The KerasTensor that an Input stands for; anything else as it is."""
    return x.spec if isinstance(x, Layer) and hasattr(x, "spec") else x


def _to(array, dtype, whole=False):
    kind = array.dtype
    if kind == dtype or not (jnp.issubdtype(kind, jnp.floating) or (whole and jnp.issubdtype(kind, jnp.number))):
        return array.astype(dtype) if whole and kind == jnp.bool_ else array
    return array.astype(dtype)


def _get_trainable(self):
    return self.__dict__.get("_trainable", True)


def _set_trainable(self, value):
    self.__dict__["_trainable"] = bool(value)
    if "auto_named" in self.__dict__:  # after construction: a frozen layer stays frozen when it is wrapped
        for child in self.children.values():
            child.trainable = value


def _set_dtype(self, policy):
    doubles(*policy.dtypes)
    self.__dict__["_policy"] = policy


Layer.dtype = property(lambda self: self.variable_dtype, _set_dtype, doc="The type the weights are kept in.")
Layer.trainable = property(_get_trainable, _set_trainable, doc="False: no array of this layer moves in training.")
Layer.layer_class = Layer.inherited = Layer
registry.add("layer", Layer)
