"""The older `.h5` layout of whole models, and the words of Keras 2, translated in this one place.

Floor 2 (no JAX). Such a file keeps arrays by layer and by order, not by place. Its Record has the file's
own paths as keys, and the order in `meta["legacy"]`:
`{"layers": [(layer name, [path, …]), …], "top": [path, …], "optimizer": [path, …]}`.
"""

import copy
import json

from .hdf5 import listed, write_tree
from .record import KERAS_VERSION, Record, parse, refused, replacing

WEIGHTS, TOP, OPTIMIZER = "model_weights", "top_level_model_weights", "optimizer_weights"


# ---- reading --------------------------------------------------------------------------------------


def legacy_record(arrays, attrs, where):
    """A Record of a whole-model `.h5` file, or of a weights file in its layout."""
    root = WEIGHTS if WEIGHTS in attrs else ""
    about = {**attrs.get(root, {}), **attrs.get("", {})}
    version = about.get("keras_version") or "1"

    def paths(group):
        found = [f"{group}/{name}".lstrip("/") for name in listed(attrs.get(group, {}), "weight_names")]
        missing = [path for path in found if path not in arrays]
        if missing:
            raise refused(where, f"{missing[0]!r} is listed but not there", code="tensors")
        return found

    order = []
    for name in listed(attrs.get(root, {}), "layer_names"):
        group = f"{root}/{name}".lstrip("/")
        if group not in attrs:
            raise refused(where, f"the layer {name!r} is listed but not there", code="tensors")
        order.append((name, paths(group)))
    meta = {"format": "h5", "keras_version": version, "backend": about.get("backend")}
    meta["legacy"] = {"layers": order, "top": paths(f"{root}/{TOP}".lstrip("/")), "optimizer": []}
    if OPTIMIZER in attrs:
        meta["legacy"]["optimizer"] = slot_order(paths(OPTIMIZER))
    return Record(legacy_config(attrs.get("", {}), where), arrays, meta)


def legacy_config(attrs, where):
    """The configuration in today's form, from the attributes of the root; None in a weights file."""
    if not attrs.get("model_config"):
        return None
    config = {"module": None, "registered_name": None, **parse(attrs["model_config"], where, "model_config")}
    if attrs.get("training_config"):
        training = parse(attrs["training_config"], where, "training_config")
        optimizer = training.pop("optimizer_config", None)
        config["compile_config"] = {"optimizer": optimizer, **training}
    return config


def slot_order(paths):
    """Optimizer arrays as Keras 3 orders them: scalars first, then all slots of the first weight, the second, …

    Keras 2 wrote `Adam/m/dense/kernel:0` or `Adam/dense/kernel/m:0`; Keras 3 `adam/dense_kernel_momentum`,
    which stays as it is.
    """
    if not all(path.endswith(":0") for path in paths):
        return paths
    scalars, slots = [], {}
    for path in paths:
        words = path.removesuffix(":0").split("/")[1:]
        if len(words) < 3:
            scalars.append(path)
        elif words[1] in SLOTS:
            slots.setdefault("/".join(words[2:]), []).append(path)
        else:
            slots.setdefault("/".join(words[1:-1]), []).append(path)
    return scalars + [path for group in slots.values() for path in group]


SLOTS = ("m", "v", "velocity", "momentum", "accumulator", "accumulated_grad", "accumulated_delta_var", "linear", "u")


# ---- Keras 2's words ------------------------------------------------------------------------------


def modern(config, version=""):
    """A configuration in the words of Keras 3: `batch_shape` for `batch_input_shape`, and so on.

    Configurations that Keras 3 wrote come back as they are.
    """
    if str(version).split(".")[0] in ("3", ""):
        return config
    return _modern(copy.deepcopy(config))


def _modern(value):
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" in value and isinstance(value.get("config"), (dict, list)):
        value = _modern_object(value)
    return {key: _modern_compile(item) if key == "compile_config" else _modern(item) for key, item in value.items()}


def _modern_object(value):
    name, config = value["class_name"], value["config"]
    name = RENAMED.get(name, name)
    if name == "Sequential":
        config = _modern_chain({"name": "sequential", "layers": config} if isinstance(config, list) else config)
    elif isinstance(config, dict):
        dropped = DROPPED.get(name, ()) + DROPPED["*"]
        config = {WORDS.get((name, key), key): item for key, item in config.items() if key not in dropped}
        axis = config.get("axis")
        if isinstance(axis, list) and len(axis) == 1:
            config["axis"] = axis[0]
        if isinstance(config.get("dtype"), dict):  # the mixed policies of Keras 2.4 and later
            config["dtype"] = config["dtype"].get("config", {}).get("name", "float32")
        if name.endswith("VarianceScaling") and config.get("distribution") == "normal":
            config["distribution"] = "truncated_normal"
        if name in SCHEDULES and config.get("name") is None:
            config.pop("name", None)
    return {**value, "class_name": name, "config": config}


def _modern_chain(config):
    """The input shape of a chain stands in an InputLayer, and nowhere else."""
    layers = config.get("layers", [])
    for i, layer in enumerate(layers):
        inner = layer.get("config", {})
        shape = inner.pop("batch_input_shape", None) if isinstance(inner, dict) else None
        if shape is not None and layer["class_name"] == "InputLayer":
            inner["batch_shape"] = shape
        elif shape is not None and i == 0:
            dtype = inner.get("dtype") if isinstance(inner.get("dtype"), str) else "float32"
            first = {"batch_shape": shape, "dtype": dtype, "name": f"{inner.get('name', 'layer')}_input"}
            return {**config, "layers": [{"class_name": "InputLayer", "config": first}, *layers]}
    return config


def _modern_compile(config):
    """Arguments of `compile`: losses, metrics and the optimizer in today's form."""
    if not isinstance(config, dict):
        return config
    found = {key: item for key, item in config.items() if item is not None or key not in UNSET}
    metrics = found.get("metrics")
    if isinstance(metrics, list) and len(metrics) == 1 and isinstance(metrics[0], list):
        metrics = metrics[0]
    found["metrics"] = [_modern_metric(item) for item in metrics] if isinstance(metrics, list) else metrics
    found["loss"] = _modern_loss(found.get("loss"))
    found["optimizer"] = _modern_optimizer(found.get("optimizer"))
    return {key: _modern(item) for key, item in found.items()}


def _modern_metric(value):
    """`MeanMetricWrapper` around a named function is that name again, as it stood in `metrics=[…]`."""
    if not isinstance(value, dict) or value.get("class_name") != "MeanMetricWrapper":
        return value
    config = value.get("config", {})
    return config["name"] if config.get("name") in METRIC_WORDS else config.get("fn") or config.get("name")


def _modern_loss(value):
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    config = {key: item for key, item in value.get("config", {}).items() if key != "fn"}
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    return {**value, "config": config}


def _modern_optimizer(value):
    """Keras 2's optimizer: `lr`, and `decay` as the schedule that it was: lr / (1 + decay * step)."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    config = dict(value.get("config", {}))
    for gone in ("jit_compile", "is_legacy_optimizer", "amsgrad" if config.get("amsgrad") is None else ""):
        config.pop(gone, None)
    config = {key: item for key, item in config.items() if item is not None or key not in ("epsilon", "name")}
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    decay, rate = config.pop("decay", 0.0), config.get("learning_rate")
    if decay and isinstance(rate, (int, float)):
        schedule = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay, "staircase": False}
        config["learning_rate"] = {
            "module": "keras.optimizers.schedules", "class_name": "InverseTimeDecay", "config": schedule,
            "registered_name": None,
        }  # fmt: skip
    name = value["class_name"].removeprefix("Custom>")
    return {"module": "keras.optimizers", "class_name": name, "config": config, "registered_name": None}


RENAMED = {
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "LSTMV1": "LSTM", "GRUV1": "GRU", "LSTMV2": "LSTM", "GRUV2": "GRU",
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D",
    "RandomNormalV2": "RandomNormal", "GlorotUniformV2": "GlorotUniform",
}  # fmt: skip
WORDS = {("LeakyReLU", "alpha"): "negative_slope"}
DROPPED = {
    "*": ("implementation", "time_major"),
    "Embedding": ("input_length",),
    "BatchNormalization": ("fused", "virtual_batch_size", "adjustment"),
    **dict.fromkeys(
        (
            "Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
            "GlorotUniform", "GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Orthogonal",
            "Identity",
        ),
        ("dtype",),
    ),
}  # fmt: skip
UNSET = ("run_eagerly", "steps_per_execution", "jit_compile")
SCHEDULES = (
    "ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "PiecewiseConstantDecay", "CosineDecay",
    "CosineDecayRestarts",
)  # fmt: skip
METRIC_WORDS = {
    "accuracy", "acc", "crossentropy", "ce", "mse", "mae", "mape", "msle", "mean_squared_error", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "cosine_similarity", "binary_accuracy",
    "categorical_accuracy", "sparse_categorical_accuracy", "top_k_categorical_accuracy", "binary_crossentropy",
    "categorical_crossentropy", "sparse_categorical_crossentropy", "hinge", "poisson", "logcosh",
}  # fmt: skip


# ---- writing --------------------------------------------------------------------------------------


def write_legacy(path, record):
    """Write a whole-model `.h5` file that Keras opens; the Record comes from `layout.take_legacy`."""
    order = record.meta["legacy"]
    head = {"keras_version": KERAS_VERSION, "backend": "jax"}
    if record.config is not None:
        inner = record.config["config"]
        model = {"class_name": record.config["class_name"], "config": plain_layers(inner)}
        head["model_config"] = json.dumps(model)
        compiled = record.config.get("compile_config")
        if compiled and compiled.get("optimizer"):
            optimizer = compiled["optimizer"]
            training = {key: item for key, item in compiled.items() if key != "optimizer"}
            if isinstance(optimizer, dict):
                training["optimizer_config"] = bare(optimizer)
            else:
                training["optimizer_config"] = {"class_name": optimizer, "config": {}}
            head["training_config"] = json.dumps(training)
    names = [name for name, _ in order["layers"]]
    about = {"layer_names": names, "backend": "jax", "keras_version": KERAS_VERSION}
    attrs = {"": head, WEIGHTS: about}
    for name, paths in sorted(order["layers"]):
        attrs[f"{WEIGHTS}/{name}"] = {"weight_names": short(paths, f"{WEIGHTS}/{name}")}
    attrs[f"{WEIGHTS}/{TOP}"] = {"weight_names": short(order["top"], f"{WEIGHTS}/{TOP}")}
    if order["optimizer"]:
        attrs[OPTIMIZER] = {"weight_names": short(order["optimizer"], OPTIMIZER)}
    path.parent.mkdir(parents=True, exist_ok=True)  # as Keras does for this format
    with replacing(path) as new:
        write_tree(new, record.arrays, attrs)


def short(paths, group):
    return [path.removeprefix(f"{group}/") for path in paths]


def bare(value):
    """`{class_name, config}`, the form that older files use; a registered class keeps its full name."""
    return {"class_name": value.get("registered_name") or value["class_name"], "config": value["config"]}


def plain_layers(config):
    """The configuration of a chain with its layers in the bare form, chains inside chains too."""
    layers = []
    for layer in config.get("layers", []):
        layer = bare(layer)
        if layer["class_name"] == "Sequential":
            layer["config"] = plain_layers(layer["config"])
        layers.append(layer)
    return {**config, "layers": layers}


__all__ = ["legacy_record", "modern", "write_legacy"]
