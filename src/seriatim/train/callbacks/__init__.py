"""Callbacks: what happens at the moments of a training run. Floor 4."""

from .average import SwapEMAWeights
from .backup import BackupAndRestore
from .board import TensorBoard
from .callback import Callback, CallbackList
from .log import CSVLogger, LambdaCallback, RemoteMonitor
from .rate import LearningRateScheduler, ReduceLROnPlateau
from .save import ModelCheckpoint
from .stop import EarlyStopping, TerminateOnNaN

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "LambdaCallback",
    "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau", "RemoteMonitor", "SwapEMAWeights", "TensorBoard",
    "TerminateOnNaN",
]  # fmt: skip
