"""Callbacks: what happens at the moments of a training run. Floor 4."""

from .callback import Callback, CallbackList
from .log import CSVLogger, LambdaCallback
from .rate import LearningRateScheduler, ReduceLROnPlateau
from .save import ModelCheckpoint
from .stop import EarlyStopping, TerminateOnNaN

__all__ = [
    "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "ReduceLROnPlateau", "TerminateOnNaN",
]  # fmt: skip
