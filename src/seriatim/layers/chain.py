"""The fold: send x down the chain. And a chain as a layer: its layers, their shapes, its configuration.

Floor 2. `run` is the whole of a Sequential model; everything else in the library calls it or reads it.
"""

from ..base import registry
from ..base.report import SeriatimErrors, UsageError, birthplace
from .contract import MASK, PENALTY, under, within
from .core import InputLayer
from .host import rows_of
from .infer import KerasTensor, output_shape
from .layer import Layer
from .stateless import with_activity
from .variable import is_traced


def run(layers, arrays, x, call):
    """Send x down the chain: (output, what the layers moved, final mask)."""
    moved = []
    for i, (layer, w) in enumerate(zip(layers, arrays, strict=True)):
        w, x = layer.meet(w, x)
        y, new = with_activity(layer, *layer.apply(w, x, call.at(i)))
        call = call._replace(mask=new[MASK] if MASK in new else layer.next_mask(x, call.mask))
        moved.append(new)
        x = y
    return x, moved, call.mask


# ---- a chain is a layer -------------------------------------------------------------------------------


class Chain(Layer):
    """y = layers[-1](… layers[1](layers[0](x))): a chain, which may stand in another chain."""

    integers = True
    full_precision = True  # each inner layer meets its own arrays

    def __init__(self, layers=None, trainable=True, name=None):
        self.chain, self.entry = [], None
        self.shapes, self.shape_in, self.shape_out = [], None, None
        self.look()
        Layer.__init__(self, name=name, trainable=trainable)
        for layer in [layers] if isinstance(layers, Layer) else layers or []:
            self.attach(layer)
        self.try_build()

    @property
    def children(self):
        return {str(i): layer for i, layer in enumerate(self.chain)}

    def look(self):
        """Whether a layer at the head runs on the host, and whether something is left for the compiled program."""
        self.host = any(layer.host for layer in self.chain)
        self.traced = any(layer.traced for layer in self.chain)

    def feed(self, x):
        """The rows as the host layers at the head leave them."""
        for layer in self.chain:
            if not layer.host:
                break
            x = layer.feed(x)
        return x

    def inner_shapes(self, shape):
        if self.shape_in == shape:
            return dict(zip(self.children, self.shapes, strict=False))
        found, dtype = {}, self.input_dtype
        for i, layer in enumerate(self.chain):
            found[str(i)] = shape
            if i + 1 < len(self.chain):
                shape = output_shape(layer, shape, dtype)
            dtype = None
        return found

    def declare(self, shape):
        shapes = self.inner_shapes(shape)
        return [weight for name, layer in self.children.items() for weight in under(name, layer.declare(shapes[name]))]

    def apply(self, w, x, call):
        arrays = [within(w, str(i)) for i in range(len(self.chain))]
        y, moved, mask = run(self.chain, arrays, x, call)
        joined = {MASK: mask}
        for i, new in enumerate(moved):
            joined.update(under(str(i), {n: a for n, a in new.items() if n not in (MASK, PENALTY)}))
        penalties = [new[PENALTY] for new in moved if PENALTY in new]
        return y, {**joined, PENALTY: sum(penalties)} if penalties else joined

    def next_mask(self, x, mask):
        """Asked only from outside a fold; inside, `apply` hands the mask on."""
        for i, layer in enumerate(self.chain):
            mask = layer.next_mask(x if i == 0 else None, mask)
        return mask

    # ---- structure ---------------------------------------------------------------------------------

    def add(self, layer, rebuild=True):
        """Put a layer at the end of the chain."""
        self.attach(layer)
        if rebuild:
            self.try_build()

    def attach(self, layer):
        if isinstance(layer, type):
            raise UsageError(
                "add a layer, not its class", at=birthplace(), saw=f"the class {layer.__name__}",
                want="an instance", fix=f"{layer.__name__}(…)",
            )  # fmt: skip
        if not isinstance(layer, Layer):
            raise UsageError(
                "only layers can be added to a Sequential", at=birthplace(),
                saw=f"{layer!r} of type {type(layer).__name__}", want="a layer",
                fix="wrap a function in Lambda(…)" if callable(layer) else None,
            )  # fmt: skip
        if isinstance(layer, InputLayer):
            if self.entry is not None or self.chain:
                raise UsageError("the input comes first, and once", at=birthplace(), saw=layer.source())
            self.entry = layer
            return
        if any(layer is other for other in self.chain):
            raise UsageError(f"{layer.name} is already in this chain", at=birthplace(), fix="build a second layer")
        if any(layer.name == other.name for other in self.chain):
            raise UsageError(
                f"two layers are called {layer.name!r}", at=birthplace(),
                saw=f"{layer!r} beside {self.get_layer(layer.name)!r}", want="unique names",
            )  # fmt: skip
        before = next((other for other in self.chain if other.traced), None) if layer.host else None
        if before is not None:
            raise UsageError(
                f"{layer.name} ({type(layer).__name__}) runs on the host, before the compiled program", at=birthplace(),
                saw=f"it stands behind {before.name} ({type(before).__name__})",
                want="layers of strings and vocabularies at the head of the chain",
            )  # fmt: skip
        self.chain.append(layer)
        self.look()
        self.touch()

    def pop(self, rebuild=True):
        """Take the last layer off the chain and return it."""
        if not self.chain:
            raise UsageError("there is no layer to take off", at=birthplace(), saw="an empty chain")
        layer = self.chain.pop()
        self.look()
        self.touch()
        if rebuild and self.shape_in is not None:
            self.shape_out = self.shapes[len(self.chain)] if self.chain else self.shape_in
            self.shapes = self.shapes[: len(self.chain) + 1]
            self.built = bool(self.chain)
        return layer

    def touch(self):
        """Told when the layers have changed."""

    def declared_input(self):
        """The input shape that the user declared, with its batch axis; or None."""
        if self.entry is not None:
            return tuple(self.entry.batch_shape)
        if not self.chain:
            return None
        first = self.chain[0]
        if isinstance(first, Chain):
            return first.shape_in or first.declared_input()
        return first.__dict__.get("declared_input")

    def try_build(self):
        shape = self.shape_in or self.declared_input()
        if shape is not None and self.chain:
            self.build(shape)

    def build(self, input_shape=None):
        """Allocate all arrays for inputs of `input_shape` (with its batch axis)."""
        if input_shape is None:
            raise UsageError("build needs the shape of the input", at=birthplace(), fix="model.build((None, 784))")
        shape = tuple(input_shape)
        if self.entry is not None:
            check_fits(self, tuple(self.entry.batch_shape), shape)
        known = self.__dict__.get("shapes", []) if self.shape_in == shape else []
        shapes, dtype = [shape], self.input_dtype
        for i, layer in enumerate(self.chain):
            layer.allocate(shapes[-1])
            if i + 1 < len(known):
                shapes.append(known[i + 1])
            else:
                shapes.append(output_shape(layer, shapes[-1], dtype))
            dtype = None
        self.shapes, self.shape_in, self.shape_out = shapes, shape, shapes[-1]
        self.input_spec_shape, self.built = shape, True

    def allocate(self, shape, seed=None):
        if not self.built or self.shape_in is None:
            self.build(shape)

    def widen(self, shape):
        """Leave open the axes in which inputs of `shape` differ from those the chain was built for.

        False, and nothing changes, if the input was declared, or if weights depend on such an axis.
        """
        if self.declared_input() is not None or len(shape) != len(self.shape_in):
            return False
        new = (self.shape_in[0], *(a if a == b else None for a, b in zip(self.shape_in[1:], shape[1:], strict=True)))
        try:
            fits = [w.shape for w in self.declare(new)] == [w.shape for w in self.declare(self.shape_in)]
        except SeriatimErrors:
            return False
        if fits:
            self.build(new)
        return fits

    @property
    def input_dtype(self):
        return self.entry.dtype if self.entry is not None else None

    @property
    def layers(self):
        """The layers in order (a copy; the Input is not listed)."""
        return list(self.chain)

    @layers.setter
    def layers(self, value):
        raise AttributeError("`layers` is a copy. Use `add()` and `pop()` to change the chain.")

    @property
    def input_shape(self):
        return self.shape_in if self.shape_in is not None else self.unbuilt("input_shape")

    @property
    def output_shape(self):
        return self.shape_out if self.shape_out is not None else self.unbuilt("output_shape")

    def unbuilt(self, what):
        raise AttributeError(
            f"{self.name} is not built yet, so it has no {what}: start the chain with Input(shape), or call "
            "model.build(input_shape), or show it data"
        )

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        for layer in self.chain:
            shape = layer.compute_output_shape(shape)
        return shape

    def get_layer(self, name=None, index=None):
        """The layer of this name, or at this place."""
        if (name is None) == (index is None):
            raise UsageError("get_layer takes a name or an index", saw=f"name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.chain) <= index < len(self.chain):
                raise UsageError(f"there is no layer {index}", saw=f"{len(self.chain)} layers")
            return self.chain[index]
        for layer in self.chain:
            if layer.name == name:
                return layer
        raise UsageError(f"there is no layer called {name!r}", want=", ".join(layer.name for layer in self.chain))

    def get_config(self):
        config = super().get_config()
        entry = [registry.to_config(self.entry or self.implied_entry())] if self.shape_in or self.entry else []
        config["layers"] = entry + [registry.to_config(layer) for layer in self.chain]
        if self.shape_in is not None:
            config["build_input_shape"] = list(self.shape_in)
        return config

    def implied_entry(self):
        dtype = getattr(self.chain[0], "takes", None) if self.chain else None
        return InputLayer(batch_shape=self.shape_in, name="input_layer", dtype=dtype)

    @property
    def takes(self):
        """The dtype of an Input before it, where its first layer says so."""
        return getattr(self.chain[0], "takes", None) if self.chain else None

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The chain that `get_config` described, with fresh weights."""
        if not {"name", "layers"} <= config.keys():
            raise UsageError(
                "the config of a Sequential has a name and a list of layers",
                saw=f"a dict with {', '.join(config) or 'nothing'}", want="name, layers",
            )  # fmt: skip
        layers = [registry.from_config("layer", item, custom_objects) for item in config["layers"]]
        model = cls(layers, name=config.get("name"), trainable=config.get("trainable", True))
        if not model.built and config.get("build_input_shape") and model.chain:
            model.build(config["build_input_shape"])
        return model


class Pipeline(Chain):
    """y = layers[-1](… layers[0](x)): preparing layers as one, in training mode unless told otherwise.

    >>> from seriatim.layers import Normalization, Rescaling
    >>> Pipeline([Rescaling(0.5), Rescaling(1.0, offset=1.0)])(jax.numpy.array([[2.0]])).tolist()
    [[2.0]]
    """

    def __init__(self, layers, name=None):
        super().__init__(layers, name=name)

    def __call__(self, x, training=True, mask=None):
        """The output for `x`."""
        if isinstance(x, KerasTensor) or is_traced(x):
            return super().__call__(x, training, mask)
        return super().__call__(self.feed(rows_of(x, self)) if self.host else x, training, mask)

    def get_config(self):
        return {"layers": [registry.to_config(layer) for layer in self.chain], "name": self.name}

    def source(self):
        name = "" if self.auto_named else f", name={self.name!r}"
        return f"{type(self).__name__}([{', '.join(layer.source() for layer in self.chain)}]{name})"

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The pipeline that `get_config` described."""
        written = config.get("layers")
        if not isinstance(written, (list, tuple)):
            raise UsageError("the config of a Pipeline has a list of layers", saw=f"layers={written!r}")
        return cls([registry.from_config("layer", item, custom_objects) for item in written], config.get("name"))


def check_fits(chain, declared, shape):
    """A UsageError if a chain is to be built for another shape than its Input declares."""
    same = len(declared) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(declared, shape, strict=True)
    )
    if not same:
        raise UsageError(
            f"{chain.name} declares another input", at=birthplace(), saw=f"build({shape})", want=f"Input of {declared}"
        )


def every_layer(layer):
    """A layer and all layers inside it."""
    yield layer
    for child in layer.children.values():
        yield from every_layer(child)


registry.add("layer", Pipeline)
