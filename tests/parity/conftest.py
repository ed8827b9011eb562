"""Parity: our numbers beside those of real Keras 3.15.1 on its JAX backend, in the same process."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # read by Keras when it is imported, so before any test file is
