"""A chain in Keras's words: the config of a Functional model, in which Keras's own layers stand for our blocks.

Floor 4. `say` is one table: how a layer becomes nodes of the graph; a layer of Keras is one node. Keras lists the
weights of a graph by the distance of their nodes from the output, the farthest first. So that its list is ours, the
earlier of two branches that stand beside each other is made longer by Identity layers.
"""

import functools
from typing import Any, NamedTuple

import jax

from ..base import names, registry
from ..base.report import UsageError, birthplace
from ..layers import Dropout, Embedding, Identity, Lambda, Masking, Rescaling, TimeDistributed
from ..layers.attention import PositionalEmbedding, SelfAttention, TransformerBlock
from ..layers.branches import Concat, Residual
from ..layers.chain import Chain, run
from ..layers.contract import Call
from ..layers.infer import KerasTensor, output_spec
from ..math.attention import rates_and_phases

OPERATIONS = "keras.src.ops.numpy"


class Tensor(NamedTuple):
    """What stands between two nodes."""

    node: str
    shape: tuple
    dtype: str
    mask: tuple | None = None  # the shape of the mask that comes along
    origin: Any = None  # (tensor, value): the mask is True where the tensor differs from the value
    far: int = 0  # how many nodes it is away from the input, the longest way

    def written(self):
        config = {"shape": list(self.shape), "dtype": self.dtype, "keras_history": [self.node, 0, 0]}
        return {"class_name": "__keras_tensor__", "config": config}


def written(value):
    """Tensors in lists and dicts as Keras writes them."""
    if isinstance(value, Tensor):
        return value.written()
    return [written(item) for item in value] if isinstance(value, list) else value


class Graph:
    """The nodes of a Functional model, in order."""

    def __init__(self):
        self.nodes, self.taken = [], {}

    def put(self, kind, config, inputs, shape, dtype, module="keras.layers", **options):
        """A node: the class and config of a layer or an operation, its inputs; and the tensor that leaves it."""
        count = self.taken[config["name"]] = self.taken.get(config["name"], -1) + 1
        name = f"{config['name']}_{count}" if count else config["name"]
        call = {"args": written(inputs), "kwargs": {key: written(value) for key, value in options.items()}}
        self.nodes.append({
            "module": module, "class_name": kind, "config": registry.to_config({**config, "name": name}),
            "registered_name": kind if module == OPERATIONS else None, "name": name,
            "inbound_nodes": [call] if inputs else [],
        })  # fmt: skip
        far = [x.far for x in jax.tree.leaves(inputs, is_leaf=is_tensor) if is_tensor(x)]
        return Tensor(name, tuple(shape), str(dtype), far=1 + max(far, default=-1))

    def operation(self, kind, inputs, shape, dtype, **config):
        """A node of one of `keras.ops`."""
        return self.put(kind, {"name": names.snake(kind), **config}, inputs, shape, dtype, OPERATIONS)


def is_tensor(value):
    return isinstance(value, Tensor)


def functional_config(model):
    """The config of a Functional model of Keras that computes what `model` does."""
    if not model.built:
        raise UsageError(
            f"{model.name} is not built yet, so its shapes are not known", at=birthplace(),
            fix="start the chain with Input(shape), or call model.build(input_shape)",
        )  # fmt: skip
    graph, entry = Graph(), model.entry or model.implied_entry()
    first = graph.put("InputLayer", entry.get_config(), [], entry.batch_shape, entry.dtype)
    last = inline(model, graph, first)
    return {
        "name": model.name, "trainable": model.trainable, "layers": graph.nodes,
        "input_layers": [first.node, 0, 0], "output_layers": [last.node, 0, 0],
    }  # fmt: skip


# ---- the table ----------------------------------------------------------------------------------------------


@functools.singledispatch
def say(layer, graph, x):
    """The tensor behind `layer` for the tensor x, its nodes put into the graph. By default one node."""
    check_said(layer)
    spec, config = behind(layer, x), registry.to_config(layer)
    y = graph.put(config["class_name"], config["config"], [x], spec.shape, spec.dtype)
    return masked(y, layer, x)


@say.register
def inline(layer: Chain, graph, x):
    """The layers of a chain, one after another."""
    for inner in layer.chain:
        x = say(inner, graph, x)
    return x


@say.register
def attention(layer: SelfAttention, graph, x, name=None):
    """MultiHeadAttention(x, x)."""
    check_said(layer)
    config = {**layer.get_config(), "key_dim": layer.head(x.shape[-1]), "name": name or layer.name}
    causal = {"use_causal_mask": True} if config.pop("use_causal_mask") else {}
    spec, y = behind(layer, x), x
    if x.mask is not None:  # MultiHeadAttention takes the mask off the very array that others may still read
        y = say(Rescaling(1.0, dtype=layer.dtype_policy, name=f"{config['name']}_input"), graph, x)
    return masked(graph.put("MultiHeadAttention", config, [y, y], spec.shape, spec.dtype, **causal), layer, y)


@say.register
def block(layer: TransformerBlock, graph, x):
    """Attention and two Dense, each with its Dropout, Add and LayerNormalization."""
    check_said(layer)
    parts = layer.parts(x.shape[-1])
    for part in parts.values():
        part.trainable = layer.trainable
    for sub, names_ in (("attention", ("attention",)), ("output", ("intermediate", "output"))):
        norm, y = parts[f"{sub}_norm"], x
        if layer.norm_first:
            y = say(norm, graph, y)
        for name in names_:
            part = parts[name]
            y = attention(part, graph, y, f"{layer.name}_attention") if name == "attention" else say(part, graph, y)
        if layer.dropout:
            drop = Dropout(
                layer.dropout, None, layer.seed, dtype=layer.dtype_policy, name=f"{layer.name}_{sub}_dropout"
            )
            y = say(drop, graph, y)
        x = add(graph, layer, [x, y], f"{layer.name}_{sub}_add")
        if not layer.norm_first:
            x = say(norm, graph, x)
    return x


@say.register
def positions(layer: PositionalEmbedding, graph, x):
    """The number of each step, by counting ones; then a table, or sines."""
    check_said(layer)
    kind = "float32" if layer.kind == "sine" else "int32"
    ones = graph.put("OnesLike", {"name": "ones_like", "dtype": kind}, [x], x.shape, kind, OPERATIONS)
    count = graph.put("Cumsum", {"name": "cumsum", "axis": 1, "dtype": None}, [ones], x.shape, kind, OPERATIONS)
    if layer.kind == "sine":
        rates, phases = rates_and_phases(x.shape[-1], layer.max_wavelength)
        angles = Rescaling(list(rates), list(phases - rates), dtype="float32", name=f"{layer.name}_angles")
        table = graph.operation("Sin", [say(angles, graph, count)], x.shape, kind)
    else:
        steps, features = layer.arrays["embeddings"].shape
        count = graph.operation("Max", [count], x.shape[:-1], kind, axis=-1, keepdims=False, initial=None)
        count = graph.operation("Subtract", [count, 1], x.shape[:-1], kind)
        lookup = Embedding(
            steps, features, layer.embeddings_initializer, layer.embeddings_regularizer, layer.embeddings_constraint,
            dtype=layer.dtype_policy, trainable=layer.trainable, name=layer.name,
        )  # fmt: skip
        table = say(lookup, graph, count)
    y = add(graph, layer, [x, table], f"{layer.name}_add")
    return y if x.mask is None else remasked(layer, graph, x, y)


def remasked(layer, graph, x, y):
    """y with the mask of x, which Keras's Add loses where another input has none."""
    if x.origin is None:
        raise refusal(
            layer, "nothing there could carry on a mask that several chains have made",
            fix="put it right behind the Embedding",
        )  # fmt: skip
    source, value = x.origin
    mask = graph.operation("NotEqual", [source, value], source.shape, "bool")
    if len(source.shape) > len(x.mask):
        mask = graph.operation("Any", [mask], x.mask, "bool", axis=-1, keepdims=False)
    hold = TimeDistributed(Identity(name="identity"), dtype=layer.dtype_policy, name=f"{layer.name}_mask")
    again = graph.put("TimeDistributed", hold.get_config(), [y], y.shape, y.dtype, mask=mask)
    return again._replace(mask=x.mask, origin=x.origin)


@say.register
def residual(layer: Residual, graph, x):
    """Add, behind the layers of f and the shortcut."""
    check_said(layer)
    ends = beside(graph, layer.children.values(), x)
    return add(graph, layer, ends if layer.shortcut is not None else [*ends, x], layer.name)


@say.register
def concat(layer: Concat, graph, x):
    """Concatenate, behind the chains."""
    check_said(layer)
    ends, spec = beside(graph, layer.chains, x), behind(layer, x)
    y = graph.put("Concatenate", {**plain(layer, layer.name), "axis": layer.axis}, [ends], spec.shape, spec.dtype)
    same = all(end.origin == x.origin and end.mask for end in ends)
    return masked(y, layer, x)._replace(origin=x.origin if same and y.shape[:2] == x.shape[:2] else None)


def beside(graph, chains, x):
    """The ends of chains over the same x. The last weights of each are as far up as the first of those after it."""
    chains = list(chains)
    ends, below = [inline(chain, graph, x) for chain in chains], 0
    for i, chain in reversed(list(enumerate(chains))):
        if chain.weights:
            for _ in range(below - 1):
                ends[i] = say(Identity(dtype=chain.dtype_policy, name=f"{chain.name}_identity"), graph, ends[i])
            below = ends[i].far - x.far
    return ends


def add(graph, layer, inputs, name):
    """Add, in the dtype of `layer`; a mask goes on if all inputs have one."""
    y = graph.put("Add", plain(layer, name), [inputs], inputs[0].shape, layer.compute_dtype)
    return y if any(x.mask is None for x in inputs) else y._replace(mask=inputs[0].mask, origin=inputs[0].origin)


def plain(layer, name):
    return {"name": name, "trainable": layer.trainable, "dtype": layer.get_config()["dtype"]}


# ---- what is behind a layer ---------------------------------------------------------------------------------


def behind(layer, x):
    """The shape and dtype behind a layer; a UsageError if several arrays leave it."""
    spec = output_spec(layer, x.shape, x.dtype)
    if not isinstance(spec, KerasTensor):
        raise refusal(layer, "it gives several arrays", fix="return_state=False")
    return spec


def masked(y, layer, x):
    """y with the mask that `layer` leaves, found by running it abstractly."""

    def mask_of(w, x, mask):
        return run((layer,), (w,), x, Call(root=jax.random.key(0), mask=mask, sketch=True))[2]

    w = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in declared(layer, x).items()}
    found = jax.eval_shape(mask_of, w, concrete(x.shape, x.dtype), x.mask and concrete(x.mask, bool))
    if found is None:
        return y
    shape = y.shape[: len(found.shape)]
    if isinstance(layer, Masking) or getattr(layer, "mask_zero", False):
        return y._replace(mask=shape, origin=(x, getattr(layer, "mask_value", 0)))
    return y._replace(mask=shape, origin=x.origin if shape == x.mask else None)


def declared(layer, x):
    """The arrays of a layer, or of a part that holds none itself."""
    dtype = layer.variable_dtype
    return layer.arrays or {w.name: jax.ShapeDtypeStruct(w.shape, w.dtype or dtype) for w in layer.declare(x.shape)}


def concrete(shape, dtype):
    """An array in the abstract, with sizes in the place of the open ones."""
    return jax.ShapeDtypeStruct(tuple((5040 if i else 2) if n is None else n for i, n in enumerate(shape)), dtype)


# ---- what cannot be said ------------------------------------------------------------------------------------


def check_said(layer):
    """A UsageError if Keras has no word for this layer, or for something in its config."""
    if layer.host:
        raise refusal(
            layer, "Keras leaves its strings to TensorFlow",
            fix="leave it out: Sequential(model.layers[1:]), which takes what layer(x) returns",
        )  # fmt: skip
    if not type(layer).__module__.startswith("seriatim.") or isinstance(layer, Lambda):
        raise refusal(layer, "it runs code of your own", fix="write the layer for Keras too, and copy its weights")
    block = getattr(layer, "module", None) == "seriatim.layers"
    if block and layer.activity_regularizer is not None:
        raise refusal(layer, "no one layer of Keras has its output", fix="ActivityRegularization(…) behind it")
    todo = [] if isinstance(layer, (Residual, Concat)) else [layer.get_config()]
    while todo:
        value = todo.pop()
        if isinstance(value, (list, tuple)):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            if value.get("class_name") == "function" or value.get("registered_name"):
                raise refusal(
                    layer, f"{value['config' if value['class_name'] == 'function' else 'class_name']} is yours"
                )
            if value.get("module") == "seriatim.layers":
                raise refusal(layer, f"it is around a {value['class_name']}")


def refusal(layer, why, fix=None):
    return UsageError(
        f"{layer.name} ({type(layer).__name__}) cannot be said in Keras: {why}", at=layer._birthplace,
        saw=repr(layer).split("\n")[0], want="layers that Keras has, and our blocks", fix=fix,
    )  # fmt: skip


__all__ = ["functional_config"]
