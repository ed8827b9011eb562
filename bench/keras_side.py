"""Keras's side, on the backend that KERAS_BACKEND names; `fit` with everything as Keras has it by default."""

import keras
from keras_words import Fitted

if keras.backend.backend() == "torch":
    import torch as engine

    if engine.cuda.is_available():
        engine.set_float32_matmul_precision("high")  # TF32, as XLA does by default
elif keras.backend.backend() == "tensorflow":
    import tensorflow as engine
else:
    import jax as engine


def versions():
    return {"keras": keras.__version__, engine.__name__: engine.__version__.split("+")[0]}


def device():
    name = keras.backend.backend()
    if name == "jax":
        return engine.devices()[0].device_kind
    if name == "torch":
        return engine.cuda.get_device_name() if engine.cuda.is_available() else "cpu"
    return "gpu" if engine.config.list_physical_devices("GPU") else "cpu"


def open_model(workload, x, y):
    return Fitted(keras, workload, x, y, to_numpy=keras.ops.convert_to_numpy)
