"""Our side: `fit` on a Sequential."""

import jax
from keras_words import Fitted

import seriatim
from seriatim import Sequential, layers, optimizers  # noqa: F401  (names are resolved at first use: here)


def versions():
    return {"seriatim": seriatim.__version__, "jax": jax.__version__}


def device():
    return jax.devices()[0].device_kind


def open_model(workload, x, y):
    return Fitted(seriatim, workload, x, y)
