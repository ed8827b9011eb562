"""Our side: `fit` on a Sequential."""

import jax
import seriatim
from seriatim import Sequential, layers, optimizers  # noqa: F401  (names are resolved at first use: here)

from keras_words import Fitted


def versions():
    return {"seriatim": seriatim.__version__, "jax": jax.__version__}


def device():
    return jax.devices()[0].device_kind


def open_model(workload, x, y):
    return Fitted(seriatim, workload, x, y)
