"""Optimizers: how the weights follow their gradients. The names are those of `keras.optimizers`.

Floor 2. `get` turns what `compile` was given (a name, a config, an optimizer, an optax transformation)
into an optimizer.
"""

import inspect

from ..base import registry
from ..base.report import UsageError
from . import schedules
from .adams import Adam, Adamax, AdamW, Lamb, Muon, Nadam, ScheduleFreeAdamW
from .optaxed import Optax, is_transformation
from .optimizer import Optimizer
from .rules import SGD, Adadelta, Adafactor, Adagrad, Ftrl, Lion, RMSprop
from .wrapping import LossScaleOptimizer, MultiOptimizer, OptimizerMap


def get(identifier):
    """The optimizer that a name, a config, a class or an optax transformation stands for; None for None.

    >>> get("adam")
    Adam()
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    if isinstance(identifier, dict):
        identifier = deserialize(identifier)
    if inspect.isclass(identifier) and issubclass(identifier, Optimizer):
        identifier = identifier()
    if isinstance(identifier, Optimizer):
        return identifier
    if is_transformation(identifier):
        return Optax(identifier)
    raise UsageError(
        "this is not an optimizer", saw=f"{identifier!r} of type {type(identifier).__name__}",
        want="a name such as 'adam', an Optimizer, its config, or an optax transformation",
    )  # fmt: skip


def scaled(optimizer):
    """The optimizer within a LossScaleOptimizer, unless there is none, or it is one."""
    if optimizer is None or isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def serialize(optimizer):
    """Keras's config of an optimizer: {module, class_name, config, registered_name}."""
    return registry.to_config(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer that `serialize` described; the class name in any letter case."""
    with registry.custom_object_scope(custom_objects):
        return registry.from_config("optimizer", config)


__all__ = [
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
    "MultiOptimizer", "Muon", "Nadam", "Optax", "Optimizer", "OptimizerMap", "RMSprop", "SGD", "ScheduleFreeAdamW",
    "deserialize", "get", "schedules", "serialize",
]  # fmt: skip
