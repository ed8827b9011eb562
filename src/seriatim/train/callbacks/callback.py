"""A callback is a set of moments: empty methods with Keras's names, and the list that calls them.

Floor 4. Callbacks live on the host, between chunks, and receive plain floats. Any object with these
methods is a callback; which of them it defines decides how long the compiled loop may run alone.
"""

BATCH_MOMENTS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callback:
    """Subclass and define the moments that matter; `self.model` and `self.params` are set by `fit`."""

    refresh = None  # seconds between two calls of `on_progress`, for displays; None: never
    last = False  # True: told behind all others, whose state it keeps
    remembered = ()  # attributes (numbers, words, None or lists of arrays) that a backup of the run keeps

    def __init__(self):
        self.params = None
        self._model = None

    @property
    def model(self):
        return self._model

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self._model = model

    def on_progress(self, step, logs=None):
        """For displays: `step` batches of the epoch are done."""

    def on_waiting(self, share, logs=None):
        """For displays: for this share of an epoch's time (0 to 1) nothing was computed for want of data."""

    def on_batch_begin(self, batch, logs=None):
        """The same as on_train_batch_begin."""

    def on_batch_end(self, batch, logs=None):
        """The same as on_train_batch_end."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch (counted from 0)."""

    def on_epoch_end(self, epoch, logs=None):
        """Behind an epoch; `logs` holds its metrics, with `val_…` if there was a validation."""

    def on_train_batch_begin(self, batch, logs=None):
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """Behind a batch of evaluation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Behind a batch of prediction; `logs["outputs"]` holds it."""

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """Behind the last epoch."""

    def on_test_begin(self, logs=None):
        """Before an evaluation, also inside fit."""

    def on_test_end(self, logs=None):
        """Behind an evaluation."""

    def on_predict_begin(self, logs=None):
        """Before a prediction."""

    def on_predict_end(self, logs=None):
        """Behind a prediction."""


class CallbackList:
    """All callbacks as one: `on_epoch_end(…)` reaches each that has it, in order."""

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, history=None, **params):
        self.callbacks = [item for entry in (callbacks or []) for item in _flat(entry)]
        if add_history and history is not None:
            self.callbacks.append(history)
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback):
        self.callbacks.append(callback)

    def set_params(self, params):
        self.params = params
        self._each("set_params", params)

    def set_model(self, model):
        self.model = model
        self._each("set_model", model)

    def set_run(self, run):
        """Within fit: those that keep the whole run get it, and are told last from now on."""
        self._each("set_run", run)
        self.callbacks.sort(key=lambda callback: getattr(callback, "last", False))

    def _each(self, moment, *args):
        for callback in self.callbacks:
            method = getattr(callback, moment, None)
            if method is not None:
                method(*args)

    def __getattr__(self, moment):
        if not moment.startswith("on_"):
            raise AttributeError(moment)
        return lambda *args, logs=None: self._moment(moment, args, logs)

    def _moment(self, moment, args, logs):
        if (
            moment.endswith(("_begin", "_end"))
            and len(args) in (1, 2)
            and logs is None
            and (args[-1] is None or isinstance(args[-1], dict))
        ):
            *args, logs = args
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            method = getattr(callback, moment, None)
            if method is not None:
                method(*args, logs)

    def watching(self, moments):
        """The callbacks that define one of these moments themselves."""
        return [c for c in self.callbacks if any(defines(c, moment) for moment in moments)]

    @property
    def refresh(self):
        """How often (in seconds) a display wants to be told, or None."""
        times = [c.refresh for c in self.callbacks if getattr(c, "refresh", None)]
        return min(times) if times else None


def defines(callback, moment):
    """Whether a callback does anything at this moment: a class other than a library's bare `Callback` defines it."""
    if moment in vars(callback):
        return vars(callback)[moment] is not None
    owner = next((base for base in type(callback).__mro__ if moment in vars(base)), None)
    return owner is not None and owner.__name__ != "Callback"


def _flat(entry):
    return entry.callbacks if isinstance(entry, CallbackList) else [entry]
