"""Evaluate, predict and save with the averaged weights while training goes on with the others. Floor 4."""

import jax.numpy as jnp

from ...base.report import UsageError
from .callback import Callback


class SwapEMAWeights(Callback):
    """Exchange the weights with their running averages for each evaluation and prediction, and back afterwards.

    The optimizer averages with `use_ema=True`. swap_on_epoch: also from the end of an epoch to the begin of the next,
    for callbacks that save. Differs from Keras: a run that is stopped early ends with the averages too, and after a
    prediction the weights are put back (Keras 3.15.1 leaves the averages in the model).
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch, self.swapped = swap_on_epoch, False

    def swap(self):
        """Weights become averages and averages become weights."""
        model, optimizer, found = self.model, self.model.optimizer, False
        for part in optimizer.parts():
            averages = (part.state or {}).get("ema")
            if averages is None:
                continue
            found, kept = True, []
            for layer, row in zip(model.chain, averages, strict=True):
                arrays = layer.arrays
                kept.append({name: row[name] if row[name] is None else jnp.asarray(arrays[name]) for name in row})
                layer.put({name: jnp.asarray(array) for name, array in row.items() if array is not None})
            part.edit(ema=tuple(kept))
        if not found:
            raise self.nothing_to_swap()
        self.swapped = not self.swapped

    def nothing_to_swap(self):
        optimizer = self.model.optimizer
        return UsageError(
            "SwapEMAWeights needs an optimizer that averages", saw=f"{optimizer!r}",
            want="use_ema=True, and a step of training", fix=f"{type(optimizer).__name__}(…, use_ema=True)",
        )  # fmt: skip

    def bring(self, averages):
        """See to it that the model holds the averages, or does not."""
        if self.swapped is not averages:
            self.swap()

    def on_train_begin(self, logs=None):
        if not any(part.use_ema for part in self.model.optimizer.parts()):
            raise self.nothing_to_swap()

    def on_epoch_begin(self, epoch, logs=None):
        self.bring(False)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self.bring(True)

    def on_train_end(self, logs=None):
        self.swapped = False  # `fit` has left the averages in the model, and in the optimizer

    def on_test_begin(self, logs=None):
        self.bring(True)

    def on_test_end(self, logs=None):
        self.bring(False)

    on_predict_begin, on_predict_end = on_test_begin, on_test_end
