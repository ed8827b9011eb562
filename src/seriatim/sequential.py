"""Sequential: the face. Layers in order; compile, fit, evaluate, predict, save.

Floor 5, and the only mutable class: it holds the layers, their boxes hold the arrays, and everything
that computes is called from here with both.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np

from . import files, losses, metrics, optimizers
from .base import registry, settings
from .base.report import DataError, UsageError, birthplace
from .data.arrays import class_weights, to_array
from .data.source import Batch
from .engine.device import placed, random_key
from .engine.forward import Forward, device_arrays, is_stateful
from .engine.plan import avals, make_plan, split
from .engine.programs import programs_for
from .export import keras_graph
from .layers.augment import augments
from .layers.chain import Chain, every_layer, run
from .layers.contract import MASK, PENALTY, Call, is_shape
from .layers.host import rows_of
from .layers.infer import KerasTensor
from .layers.variable import is_traced
from .train import fit as training
from .train import state_tree as trees
from .train.arguments import check_metric, check_steps, crossentropy_kind, flat, one_weight, only, revive
from .train.summary import print_summary, summary_html


class Sequential(Chain):
    """A linear stack of layers: one input, one output, data flowing one way.

    >>> from seriatim import Sequential
    >>> from seriatim.layers import Input, Dense
    >>> model = Sequential([Input((784,)), Dense(32, activation="relu"), Dense(10, activation="softmax")])
    >>> model.output_shape
    (None, 10)
    """

    module = "keras"

    def __init__(self, layers=None, trainable=True, name=None):
        self.compiled, self.history, self.steps_per_execution = False, None, 1
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.optimizer = self.loss = self.forward = None
        self.key, self.steps_done, self.data_seed, self.optimizer_shapes = None, 0, None, None
        self.last_logs = {}
        super().__init__(layers, trainable, name)

    def touch(self):
        """The chain has changed: what was derived from it is derived again."""
        self.programs, self.target_avals, self.forward = None, None, None
        if self.optimizer is not None:
            self.optimizer.state = None

    # ---- compile -------------------------------------------------------------------------------------

    def compile(
        self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
        run_eagerly=False, steps_per_execution=1, jit_compile="auto", auto_scale_loss=True,
    ):  # fmt: skip
        """Say how to train: an optimizer, a loss and metrics, as names, objects or functions.

        `optimizer` may also be any optax gradient transformation. `run_eagerly` runs the step without
        compiling it; `jit_compile` is accepted for Keras's sake (the step is always compiled by XLA).
        """
        parts = {
            "optimizer": optimizers.get(optimizer), "loss_weight": one_weight(loss_weights),
            "loss": None if only(loss, "loss") in ("crossentropy", "ce") else losses.as_loss(only(loss, "loss")),
        }  # fmt: skip
        for given in (*flat(metrics), *flat(weighted_metrics)):
            check_metric(given)
        check_steps(type(self))
        if isinstance(steps_per_execution, str) and steps_per_execution != "auto":
            raise UsageError("steps_per_execution counts steps", saw=repr(steps_per_execution))
        self.optimizer, self.loss_weight, self.loss_object = parts["optimizer"], parts["loss_weight"], parts["loss"]
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
            self.optimizer = optimizers.scaled(self.optimizer)
        self.loss, self.loss_weights = loss, loss_weights
        self.metrics_given, self.weighted_given = flat(metrics), flat(weighted_metrics)
        self.compile_arguments = {
            "optimizer": self.optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution, "jit_compile": jit_compile,
        }  # fmt: skip
        self.run_eagerly, self.jit_compile = run_eagerly, jit_compile
        self.steps_per_execution = 1 if steps_per_execution == "auto" else int(steps_per_execution)
        self.compiled, self.resolved = True, ()
        self.programs, self.target_avals, self.forward = None, None, None

    @property
    def metrics(self):
        """The metric objects, the loss's running mean first (as Keras lists them)."""
        if not self.compiled:
            return []
        return [metrics.Mean(name="loss"), *(metric for _, metric, _ in self.resolved)]

    @property
    def metrics_names(self):
        return [metric.name for metric in self.metrics]

    def resolve(self, y, pred):
        """Metric objects from what `compile` was given and the shapes it meets."""
        taken, found = {}, []
        given = [(m, False) for m in self.metrics_given] + [(m, True) for m in self.weighted_given]
        for item, weighted in given:
            metric = metrics.resolve(item, tuple(y.shape), tuple(pred.shape))
            name = f"weighted_{metric.name}" if weighted and metric.name in taken else metric.name
            taken[name] = taken.get(name, 0) + 1
            found.append((f"{name}_{taken[name] - 1}" if taken[name] > 1 else name, metric, weighted))
        if self.loss_object is None and self.loss in ("crossentropy", "ce"):
            self.loss_object = losses.as_loss(crossentropy_kind(tuple(y.shape), tuple(pred.shape)))
        return tuple(found)

    # ---- getting ready to run --------------------------------------------------------------------------

    def ready(self, sample, training):
        """Build if need be, settle the metrics, and find the compiled programs."""
        if not self.compiled:
            raise UsageError(
                f"{self.name} is not compiled", at=birthplace(), want="compile() before fit and evaluate",
                fix="model.compile(optimizer='adam', loss=…)",
            )  # fmt: skip
        self.ready_to_predict(sample)
        if self.target_avals is None:
            self.check_targets(sample)
            shapes, rows = self.shape_out, len(sample.x)
            if any(size is None for shape in jax.tree.leaves(shapes, is_leaf=is_shape) for size in shape[1:]):
                shapes = self.compute_output_shape(sample.x.shape)  # as long as these rows are
            pred = jax.tree.map(
                lambda shape: jax.ShapeDtypeStruct((rows, *(size or 1 for size in shape[1:])), jnp.float32),
                shapes, is_leaf=is_shape,
            )  # fmt: skip
            y = pred if sample.y is None else jax.ShapeDtypeStruct(sample.y.shape, sample.y.dtype)
            self.resolved = self.resolve(y, pred)
            self.target_avals = (y, pred)
        if self.key is None:
            seed = settings.next_seed()
            self.key, self.data_seed = random_key(seed), seed
        self.programs = programs_for(self.plan())
        return self.programs

    def plan(self):
        if self.optimizer is not None:
            self.optimizer.meet([v.path for v in self.trainable_variables], self.name)
        return make_plan(
            self.chain, loss=self.loss_object, loss_weight=self.loss_weight, optimizer=self.optimizer,
            metrics=self.resolved, eager=self.run_eagerly,
        )  # fmt: skip

    def ready_to_predict(self, sample):
        if not self.chain:
            raise UsageError(f"{self.name} has no layers", at=birthplace(), fix="model.add(…)")
        x = self.conform(sample).x
        if not self.built:  # a chain with host layers is built where the rows are read
            self.build((None, *x.shape[1:]))

    def conform(self, batch):
        """A batch whose x has the rank the chain declares."""
        x = batch.x if self.host else self.mend(batch.x)
        return batch if x is batch.x else batch._replace(x=x)

    def read(self, x, what="x"):
        """x as numbers: one array, as the host layers at the head of the chain leave it, if there are any."""
        if not self.host:
            return to_array(x, what)
        x = rows_of(x, self)
        if x.ndim == 0:
            raise DataError(f"{what} is a single value", at=birthplace(), saw=repr(x.item()), want="rows")
        x = self.mend(x)
        if not self.built:
            self.build((None, *x.shape[1:]))
        return self.feed(x)

    def mend(self, x):
        """x with the rank the chain declares: a missing or extra axis of size 1 is added or taken away."""
        shape = self.shape_in or self.declared_input()
        if shape is None or x.shape[1:] == shape[1:]:
            return x
        if x.ndim == len(shape) - 1 and shape[-1] == 1:
            x = x[..., None]
        elif x.ndim == len(shape) + 1 and x.shape[-1] == 1:
            x = x[..., 0]
        fits = x.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape[1:], x.shape[1:], strict=True))
        if not fits and not (self.shape_in is not None and self.widen(x.shape)):
            first = self.chain[0]
            one = x.shape == tuple(shape[1:])
            raise DataError(
                f"the input does not fit {first.name}, the first layer of {self.name}", at=birthplace(),
                saw=f"x of shape {tuple(x.shape)}", want=f"shape {tuple(shape)} (None: any number)",
                fix="one sample needs a batch axis: x[None]" if one else misfit(shape, x.shape),
            )  # fmt: skip
        return x

    def check_targets(self, sample):
        if self.loss_object is not None and sample.y is None:
            raise UsageError(
                f"the loss {self.loss!r} compares with targets, but there are none", at=birthplace(),
                saw="y=None", fix="model.fit(x, y)",
            )  # fmt: skip

    # ---- arrays in and out -----------------------------------------------------------------------------

    def device_arrays(self):
        """The boxes of all layers, as device arrays: one dict a layer."""
        return device_arrays(self.chain)

    def held_arrays(self):
        return [array for layer in self.chain for array in layer.arrays.values()]

    def optimizer_state(self, params):
        """The optimizer's arrays for these params; begun anew if they are not the params it knows."""
        shapes = avals(params)
        if self.optimizer.state is None or self.optimizer_shapes != shapes:
            owned = [dict(layer.leaves()) for layer in self.chain]
            paths = tuple({n: own[n].path for n in w} for own, w in zip(owned, params, strict=True))
            self.optimizer.state = self.optimizer.init(params, paths)
            self.optimizer_shapes = shapes
        self.optimizer.changed = False
        return placed(self.optimizer.state)

    def build_optimizer(self):
        """Begin the optimizer's arrays for the params as they are now."""
        plan = self.plan()
        self.optimizer_state(split(plan, self.device_arrays())[0])

    def receive(self, arrays, opt_state, steps):
        """Take arrays back from a training session: into the boxes, the optimizer, the counter."""
        self.keep_state(arrays)
        if self.forward is not None:
            self.forward.forget()
        self.optimizer.state, self.optimizer.changed = opt_state, False
        self.steps_done = steps

    def keep_state(self, arrays):
        for layer, w in zip(self.chain, arrays, strict=True):
            layer.put(w)

    # ---- training ----------------------------------------------------------------------------------------

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0,
        steps_per_epoch=None, validation_steps=None, validation_batch_size=None, validation_freq=1,
    ):  # fmt: skip
        """Train; returns a History whose `.history` holds one number an epoch for the loss and each metric.

        x, y: arrays (n, …), lists, data frames; or x alone: anything that yields (x, y) batches.
        batch_size: 32 by default. epochs: the number of the last epoch. validation_split: the last share
        of the rows, taken before shuffling. class_weight: {class: weight}. The rest is as in Keras.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        history = training.fit(self, **given)
        names = {"loss", *(name for name, _, _ in self.resolved)}
        self.last_logs = {name: values[-1] for name, values in history.history.items() if name in names and values}
        return history

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
        return_dict=False,
    ):  # fmt: skip
        """[loss, metric, …] on the data (a float if there is the loss only; a dict with `return_dict`)."""
        logs = training.evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks)
        return self.report(logs, return_dict)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """The outputs for all rows, as a NumPy array."""
        if isinstance(x, np.ndarray) and callbacks is None and steps is None and self.is_small(x):
            return self.forward_rows(x)
        return training.predict(self, x, batch_size, verbose, steps, callbacks)

    def is_small(self, x):
        """One row on the fast path: nothing to split, nothing to show."""
        return self.built and not self.host and x.ndim == len(self.shape_in) and len(x) == 1 and x.dtype.kind in "fiu"

    def forward_rows(self, x):
        """The prediction for some rows, padded to a power of two so that few programs serve all sizes."""
        if self.host and x.dtype.kind not in "iufb":
            return x  # the strings of a chain that ends on the host
        x, forward = x if self.host else self.mend(x), self.forward_pass()
        rows, padded = len(x), forward.rowwise and len(x) & (len(x) - 1)
        if padded:
            room = 1 << rows.bit_length()
            x = np.concatenate([np.asarray(x), np.zeros((room - rows, *x.shape[1:]), x.dtype)])
        pred, moved = forward(x)
        if any(moved):
            self.keep_state(moved)
        if padded:
            return jax.tree.map(lambda y: np.asarray(y)[:rows], pred)
        return np.asarray(pred) if isinstance(pred, jax.Array) else jax.tree.map(np.asarray, pred)

    def forward_pass(self):
        """The compiled forward pass, made anew when the chain, or a chain inside it, has changed."""
        if self.forward is None or self.forward.outgrown():
            self.forward = Forward(self.chain)
        return self.forward

    @property
    def stateful(self):
        """Whether a layer inside carries its state from batch to batch."""
        return any(is_stateful(layer) for layer in self.chain)

    def reset_states(self):
        """Set the carried state of every stateful layer to zero."""
        for layer in self.chain:
            for inner in every_layer(layer):
                if getattr(inner, "stateful", False) and hasattr(inner, "reset_state"):
                    inner.reset_state()

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step on one batch; the loss and metrics of that batch alone."""
        batch = self.one_batch(x, y, sample_weight, class_weight)
        session = training.Session(self, self.ready(batch, training=True))
        session.reset()
        session.batch(training.on_device(self.conform(batch)))
        session.give()
        return self.report(session.logs(), return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The loss and metrics of one batch."""
        batch = self.one_batch(x, y, sample_weight, None)
        source = training.open_source(batch.x, batch.y, batch.w, batch_size=len(batch.x))
        programs = self.ready(source.sample(), training=False)
        counter = training.Counter(self, programs, source, None, training.CallbackList())
        return self.report(counter.run(), return_dict)

    def predict_on_batch(self, x):
        """The outputs for one batch, in one call."""
        batch = Batch(self.read(x))
        self.ready_to_predict(batch)
        return self.forward_rows(batch.x)

    def one_batch(self, x, y, sample_weight, class_weight):
        x, y = self.read(x), None if y is None else to_array(y, "y")
        w = None if sample_weight is None else to_array(sample_weight, "sample_weight")
        if class_weight is not None:
            w = class_weights(class_weight, y, w)
        return Batch(x, y, w)

    def report(self, logs, return_dict):
        """Logs as Keras returns them: the loss first, then the metrics in the order of compile."""
        self.last_logs = logs
        if return_dict:
            return logs
        values = [logs["loss"], *(logs[name] for name, _, _ in self.resolved)]
        return values[0] if len(values) == 1 else values

    def get_metrics_result(self):
        """{name: number}: the loss and the metrics of the last batch, evaluation, or epoch of training."""
        return dict(self.last_logs)

    def reset_metrics(self):
        """Metrics count anew in every epoch and evaluation; there is nothing left over to reset."""

    def __call__(self, x, training=None, mask=None):
        """The output for `x` as a JAX array; differentiable, and usable under jit."""
        if self.__dict__.get("_context") is not None:
            return super().__call__(x, training, mask)
        if isinstance(x, KerasTensor):
            return super().__call__(x)
        x = x if is_traced(x) else self.read(x)
        self.ready_to_predict(Batch(x))
        x = x if self.host else self.mend(x)
        unsaid = training is None and augments(every_layer(self))
        if not training and not unsaid and mask is None and not is_traced(x):
            try:
                y, moved = self.forward_pass()(x)
            except jax.errors.JAXTypeError:  # a user's layer looks at the values, which no compiled program has
                y, moved, _ = run(self.chain, self.device_arrays(), jnp.asarray(x), Call())
        else:
            call = Call(None if unsaid else bool(training), mask=mask)
            if training or unsaid:
                call = call._replace(root=jax.random.key(settings.next_seed()), step=self.next_call())
            x = x if is_traced(x) else jnp.asarray(x)
            y, moved, _ = run(self.chain, self.device_arrays(), x, call)
        if any(moved) and not is_traced(x):
            self.keep_state([{n: a for n, a in new.items() if n not in (MASK, PENALTY)} for new in moved])
        return y

    # ---- weights -------------------------------------------------------------------------------------

    def count_params(self):
        if not self.built:
            raise UsageError(
                f"{self.name} is not built yet, so it holds no weights to count", at=birthplace(),
                fix="start the chain with Input(shape), or call model.build(input_shape)",
            )  # fmt: skip
        return sum(v.size for v in self.weights)

    def reset_weights(self, seed=None):
        """Draw all first values again and forget what the optimizer remembers."""
        seed = settings.next_seed() if seed is None else seed
        for i, layer in enumerate(self.chain):
            values = {w.name: layer.draw(w, j, (seed, i)) for j, w in enumerate(layer.declare(self.shapes[i]))}
            layer.put(values)
        self.steps_done = 0
        if self.optimizer is not None:
            self.optimizer.state = None

    def get_state_tree(self, value_format="backend_tensor"):
        """All arrays as nested dicts by path: {"trainable_variables": {model: {layer: {"kernel": …}}}, …}.

        The other groups are non_trainable_variables, optimizer_variables, and metrics_variables, which is empty:
        metrics count inside the compiled loop. value_format: "backend_tensor" (JAX) or "numpy_array".
        """
        return trees.read(self, value_format)

    def set_state_tree(self, state_tree):
        """Set what a tree of `get_state_tree` holds, whole or in part; nothing is set if one array does not fit."""
        trees.write(self, state_tree)

    # ---- files ---------------------------------------------------------------------------------------

    def save(self, filepath, overwrite=True, zipped=None, **options):
        """Write architecture, weights, compile arguments and optimizer state: `.keras`, or legacy `.h5`."""
        files.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **options)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None, **options):
        """Write the weights alone: `.weights.h5` (Keras's layout), `.weights.json` with shards, or `.safetensors`."""
        files.save_weights(self, filepath, overwrite, max_shard_size, **options)

    def load_weights(self, filepath, skip_mismatch=False, **options):
        """Read weights that a chain like this one has written (ours or Keras's)."""
        files.load_weights(self, filepath, skip_mismatch=skip_mismatch, **options)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {name: registry.to_config(value) for name, value in self.compile_arguments.items()}

    def compile_from_config(self, config):
        """Compile as `get_compile_config` described."""
        config = dict(config)
        config["optimizer"] = optimizers.get(config["optimizer"])
        config["loss"] = revive(losses, config.get("loss"))
        for name in ("metrics", "weighted_metrics"):
            config[name] = revive(metrics, config.get(name))
        known = (
            "optimizer",
            "loss",
            "loss_weights",
            "metrics",
            "weighted_metrics",
            "run_eagerly",
            "steps_per_execution",
        )
        self.compile(**{name: config[name] for name in known if name in config})

    def to_json(self, **options):
        """The architecture as JSON; `models.model_from_json` reads it."""
        return json.dumps(registry.to_config(self), **options)

    def to_keras_config(self):
        """The config of a Functional model of Keras that computes the same; a UsageError naming what it cannot say.

        `keras.Model.from_config(model.to_keras_config())` builds it; then `set_weights(model.get_weights())` fits.
        """
        return keras_graph.functional_config(self)

    # ---- print ---------------------------------------------------------------------------------------

    def summary(
        self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
        layer_range=None,
    ):  # fmt: skip
        """Print Keras's table: each layer with its output shape and number of parameters."""
        print_summary(
            self, line_length=line_length, positions=positions, print_fn=print_fn, expand_nested=expand_nested,
            show_trainable=show_trainable, layer_range=layer_range,
        )  # fmt: skip

    def _repr_html_(self):
        return summary_html(self)

    def source(self):
        """Python source that builds this chain again, with shapes and counts as comments."""
        entry = self.entry or (self.implied_entry() if self.shape_in is not None else None)
        rows = [(entry.source(), "")] if entry is not None else []
        for i, layer in enumerate(self.chain):
            rows.append((layer.source().replace("\n", "\n    "), self.comment(i, layer)))
        width = max((len(text) for text, note in rows if "\n" not in text and len(text) < 72), default=0) + 1
        lines = [f"    {(text + ',').ljust(width)}{'  # ' + note if note else ''}" for text, note in rows]
        name = "" if self.auto_named else f", name={self.name!r}"
        total = f"  # {self.count_params():_} parameters" if self.built else ""
        return "\n".join([f"{type(self).__name__}([", *lines, f"]{name}){total}"])

    def comment(self, i, layer):
        if not self.built:
            return ""
        shape = self.shapes[i + 1]
        shape = shape[1:] if is_shape(shape) else [part[1:] for part in shape]
        count = layer.count_params()
        return f"{shape}" + (f"  {count:_}" if count else "")

    def __repr__(self):
        return self.source()


# ---- small questions ------------------------------------------------------------------------------------


def misfit(wanted, seen):
    """One line that mends the usual misfits."""
    if len(seen) == len(wanted) - 1 and len(wanted) == 4:
        return "give the images a channel axis: x = x[..., None]"
    if len(wanted) == 2 and len(seen) > 2:
        return "flatten the rows: x = x.reshape(len(x), -1), or start with Flatten()"
    if len(seen) == len(wanted) == 4 and seen[1] == wanted[-1]:
        return "the channels stand first: x = x.transpose(0, 2, 3, 1)"
    return None


registry.add("layer", Sequential)
__all__ = ["Sequential"]
