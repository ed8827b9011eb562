"""What Keras's tests take from inside Keras, said with our public names.

`NAMES` maps `module.name`, `area.name` or a bare name to the object that a test gets.
"""

import os
import types
import weakref
from contextlib import contextmanager, nullcontext

import jax
import pytest

from seriatim import (
    KerasTensor,
    Metric,
    Optimizer,
    Sequential,
    Variable,
    config,
    files,
    layers,
    models,
    ops,
    regularizers,
)
from seriatim import random as draws
from seriatim.base import names as naming
from seriatim.base import registry, settings
from seriatim.base.report import UsageError
from seriatim.callbacks import EarlyStopping, TensorBoard
from seriatim.datasets import inert
from seriatim.layers import seeds
from seriatim.math import deconvolution, distances, initializers
from seriatim.metrics import AUC
from seriatim.optimizers import MultiOptimizer, Muon
from seriatim.train.callbacks.rate import rates
from seriatim.utils import PyDataset


def is_tensor(x):
    return isinstance(x, jax.Array)


def set_keras_mask(x, mask):
    x._keras_mask = mask


def get_keras_mask(x):
    return getattr(x, "_keras_mask", None)


SCOPES = []


@contextmanager
def name_scope(name, **options):
    """Variables made within have the name before their own in `path`."""
    SCOPES.append(name)
    yield name
    SCOPES.pop()


def within_scopes(init):
    def named(self, *args, **options):
        init(self, *args, **options)
        self.layer.name = "/".join(SCOPES)

    return named


Variable.__init__ = within_scopes(Variable.__init__)


def skip_if_backend(name, reason):
    return pytest.mark.skipif(config.backend() == name, reason=reason)


conftest = types.ModuleType("conftest")
conftest.skip_if_backend = skip_if_backend

# private words of Keras's classes, said with ours
Optimizer._clip_gradients = Optimizer.clip
Optimizer._iterations = Optimizer.iterations
Optimizer._model_variables_moving_average = property(lambda self: [*map(Variable, jax.tree.leaves(self.state["ema"]))])
Muon.lr_adjust, Muon._should_use_adamw = Muon.stretched, lambda self, v: self.is_other(v.path, v)
MultiOptimizer._var_to_optimizer_idx = property(lambda self: self.chosen)
MultiOptimizer._var_key = lambda self, variable: variable.path
TensorBoard._collect_learning_rate = lambda self, logs: {**logs, **rates(self.model.optimizer)}
AUC._from_logits = property(lambda self: self.from_logits)
EarlyStopping.monitor_op = property(lambda self: ops.less if self.better(0.0, 1e9) else ops.greater)
Sequential._functional = property(lambda self: self if self.built and self.chain else None)
Metric._dtype = property(lambda self: self.dtype)


def newton_schulz(self, x, steps):
    self.ns_steps = steps
    return self.orthogonal(x)


def update_step(self, gradient, variable, learning_rate):
    """One update without decay, which Keras's optimizers apply on their own."""
    self.learning_rate, self.weight_decay, self.adam_weight_decay = learning_rate, None, None
    self.apply([gradient], [variable])


Muon.zeropower_via_newtonschulz5, Muon.update_step = newton_schulz, update_step


class Trainer:
    """Mixed into a layer, it gives it a model's words: those of a chain of it alone."""

    models = weakref.WeakKeyDictionary()

    def __init__(self):
        """Keras's trainers keep their state here."""

    @property
    def alone(self):
        if self not in Trainer.models:
            model = Trainer.models[self] = Sequential([self])
            model.dtype = self.dtype_policy
        return Trainer.models[self]


def _delegate(word):
    return lambda self, *args, **kwargs: getattr(self.alone, word)(*args, **kwargs)


for _word in (
    "compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "reset_metrics",
    "get_compile_config", "compile_from_config", "get_metrics_result",
):  # fmt: skip
    setattr(Trainer, _word, _delegate(_word))
for _word in ("metrics", "metrics_names", "optimizer", "loss", "history", "compiled", "run_eagerly", "jit_compile"):
    setattr(
        Trainer, _word,
        property(lambda self, w=_word: getattr(self.alone, w), lambda self, v, w=_word: setattr(self.alone, w, v)),
    )  # fmt: skip


def transposed(input_shape, kernel_shape, strides, padding, output_padding, dilation_rate):
    """[(size, stride, reach, before, after), …] for each axis of space, channels last."""
    rank = len(kernel_shape) - 2
    options = [v if isinstance(v, (tuple, list)) else (v,) * rank for v in (strides, output_padding, dilation_rate)]
    for size, window, stride, extra, step in zip(input_shape[1:-1], kernel_shape, *options, strict=False):
        edges = deconvolution.transposed_margins(window, stride, padding, extra, step)
        yield size, stride, (window - 1) * step + 1, *edges


def transposed_shape(input_shape, kernel_shape, filters, strides, padding, output_padding, data_format, dilation_rate):
    found = transposed(input_shape, kernel_shape, strides, padding, output_padding, dilation_rate)
    space = [(size - 1) * stride + 2 + before + after - reach for size, stride, reach, before, after in found]
    return (input_shape[0], *space, filters)


def transposed_edges(input_shape, kernel_shape, strides, padding, output_padding, dilation_rate):
    found = transposed(input_shape, kernel_shape, strides, padding, output_padding, dilation_rate)
    return [(before, after) for *_, before, after in found]


def verbosity(words):
    (config.enable_interactive_logging if words == "INTERACTIVE" else config.disable_interactive_logging)()


def index_lookup(vocabulary_dtype="string", oov_method=None, **options):
    """Keras's class behind two public ones: that of the two for this kind of vocabulary."""
    if vocabulary_dtype == "string":  # the choice of a hash is for numbers
        return layers.StringLookup(**options)
    return layers.IntegerLookup(**options, **({} if oov_method is None else {"oov_method": oov_method}))


def validate_float_arg(value, name):
    """A function of Keras's for the strength of a regularizer: what our L2 makes of it."""
    if value is None:  # left out is the default for L2
        raise UsageError(f"{name} is None")
    return float(regularizers.L2(value).l2)


OPTREE, DMTREE = types.SimpleNamespace(available=True), types.SimpleNamespace(available=False)


def save_h5(model, filepath, overwrite=True, include_optimizer=True):
    files.save_model(model, filepath, overwrite, include_optimizer=include_optimizer)


WHOLE = tuple(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64))
FLOATS = ("bfloat16", "float16", "float32", "float64")

NAMES = {
    "keras.src.backend.jax.trainer.JAXTrainer": Trainer, "py_dataset_adapter.PyDataset": PyDataset,
    "GLOBAL_CUSTOM_NAMES": registry._custom_names, "GLOBAL_CUSTOM_OBJECTS": registry._custom,
    "compute_conv_transpose_output_shape": transposed_shape,
    "compute_conv_transpose_padding_args_for_jax": transposed_edges,
    "seed_generator.draw_seed": seeds.draw_seed, "draw_seed": seeds.draw_seed,
    "global_seed_generator": seeds.global_seed_generator, "make_default_seed": settings.next_seed,
    "squeeze_or_expand_to_same_rank": distances.same_rank, "compute_fans": initializers.fans,
    "keras.src.utils.file_utils.join": os.path.join, "keras.src.utils.file_utils.exists": os.path.exists,
    "keras.src.utils.file_utils.makedirs": os.makedirs, "set_logging_verbosity": verbosity,
    "backend.is_tensor": is_tensor, "set_keras_mask": set_keras_mask, "get_keras_mask": get_keras_mask,
    "name_scope": name_scope, "backend.convert_to_numpy": ops.convert_to_numpy,
    "backend.convert_to_tensor": ops.convert_to_tensor, "backend.cast": ops.cast, "backend.shape": ops.shape,
    "SUPPORTS_SPARSE_TENSORS": False, "SUPPORTS_RAGGED_TENSORS": False, "SUPPORTS_COMPLEX_DTYPES": True,
    "random_seed_dtype": lambda: "uint32", "backend.device": lambda name: nullcontext(),
    "keras.src.backend.random": draws,
    "keras.src.backend.numpy": ops, "keras.src.backend.nn": ops, "keras.src.backend.math": ops,
    "keras.src.backend.linalg": ops, "keras.src.backend.image": ops.image, "version": lambda: "3.15.1",
    "to_snake_case": naming.snake, "keras.src.ops.random": draws,
    "validate_float_arg": validate_float_arg, "convert_tf_tensor": ops.convert_to_tensor,
    "AUCCurve": types.SimpleNamespace(ROC="ROC", PR="PR"), "AUCSummationMethod": types.SimpleNamespace(
        INTERPOLATION="interpolation", MAJORING="majoring", MINORING="minoring"),
    "IndexLookup": index_lookup, "TrackedList": list, "TrackedDict": dict, "TrackedSet": set,
    "keras.src.utils.module_utils.optree": OPTREE, "keras.src.utils.module_utils.dmtree": DMTREE,
    "KerasTensor": KerasTensor, "INT_TYPES": WHOLE, "FLOAT_TYPES": FLOATS,
    "keras.src.models.functional.Functional": Sequential,
    "backend.compute_output_spec": lambda function, *args: function(*args),
    "save_model_to_hdf5": save_h5, "load_model_from_hdf5": models.load_model,
    "keras.src.datasets.npz_utils.load_npz": inert.load_npz,
}  # fmt: skip
