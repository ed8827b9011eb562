"""Curves, histograms and images for TensorBoard, written by tensorboardX: no TensorFlow. Floor 4."""

import os
import time

import numpy as np

from ...base.report import Missing, UsageError
from .callback import Callback
from .rate import rates

MOST_IMAGES = 3  # of one weight, as TensorFlow writes


class TensorBoard(Callback):
    """Event files under `log_dir`/train and `log_dir`/validation, with Keras's names: epoch_loss, batch_loss, …

    histogram_freq: each so many epochs the values of every weight, with `write_images` as pictures too. update_freq:
    "epoch", "batch", or a number of batches between two rows. write_graph: the layers, once.

    Needs the extra `tensorboard`. Refused, with what does it instead: profile_batch and embeddings_freq. Pictures show
    the weights between their least and their largest value (Keras cuts them off at 0 and 1).
    """

    def __init__(
        self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
        update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None,
    ):  # fmt: skip
        super().__init__()
        if profile_batch:
            raise UsageError(
                "TensorBoard(profile_batch=…) is not offered: whole epochs run in one call, with no batches to mark",
                saw=f"profile_batch={profile_batch!r}", want="0",
                fix=f"with jax.profiler.trace({str(log_dir)!r}): model.fit(…)",
            )  # fmt: skip
        if embeddings_freq or embeddings_metadata is not None:
            raise UsageError(
                "TensorBoard(embeddings_freq=…) is not offered: the projector reads TensorFlow's checkpoints",
                saw=f"embeddings_freq={embeddings_freq!r}", want="0",
                fix="layer.get_weights()[0], as text for the projector",
            )  # fmt: skip
        freq = 1 if update_freq == "batch" else update_freq
        if freq != "epoch" and (isinstance(freq, bool) or not isinstance(freq, int) or freq < 1):
            raise UsageError(
                "update_freq says how often to write", saw=repr(update_freq), want="'epoch', 'batch' or 1, 2, …"
            )
        self.log_dir, self.histogram_freq, self.write_graph = os.fspath(log_dir), histogram_freq, write_graph
        self.write_images, self.write_steps_per_second = write_images, write_steps_per_second
        self.update_freq, self.writers, self.step, self.training = freq, {}, 0, False
        if freq != "epoch":
            self.on_train_batch_begin, self.on_train_batch_end = self.batch_begin, self.batch_end

    def writer(self, side):
        """The open event file of a side, `train` or `validation`."""
        if side not in self.writers:
            self.writers[side] = event_writer(os.path.join(self.log_dir, side))
        return self.writers[side]

    def write(self, side, prefix, values, step, suffix=""):
        for name, value in values.items():
            if np.ndim(value) == 0:  # a metric with a value for each class has no curve
                self.writer(side).add_scalar(f"{prefix}{name}{suffix}", value, int(step))

    def set_model(self, model):
        super().set_model(model)
        self.writers = {}
        if self.write_graph:
            write_layers(self.writer("train"), model.to_json())

    def on_train_begin(self, logs=None):
        self.step, self.training = 0, True

    def on_train_end(self, logs=None):
        self.training = False
        self.close()

    def close(self):
        """Bring everything to the disk."""
        for writer in self.writers.values():
            writer.close()
        self.writers = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.steps_then = time.perf_counter(), int(self.model.optimizer.iterations)

    def batch_begin(self, batch, logs=None):
        self.batch_began = time.perf_counter()

    def batch_end(self, batch, logs=None):
        self.step += 1
        if self.step % self.update_freq:
            return
        if self.write_steps_per_second:
            logs = {"steps_per_second": 1 / (time.perf_counter() - self.batch_began), **(logs or {})}
        self.write("train", "batch_", logs or {}, self.step)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if self.write_steps_per_second:
            steps = int(self.model.optimizer.iterations) - self.steps_then
            train["steps_per_second"] = steps / (time.perf_counter() - self.began)
        self.write("train", "epoch_", train | rates(self.model.optimizer), epoch)
        self.write("validation", "epoch_", {n[4:]: v for n, v in logs.items() if n.startswith("val_")}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self.write_weights(epoch)

    def on_test_end(self, logs=None):
        optimizer = self.model.optimizer
        if optimizer is not None:
            self.write("validation", "evaluation_", logs or {}, optimizer.iterations, suffix="_vs_iterations")
        if not self.training:
            self.close()

    def write_weights(self, epoch):
        for layer in self.model.layers:
            for weight in layer.weights:
                values = weight.numpy()
                self.writer("train").add_histogram(f"{weight.path}/histogram", values.astype("float64"), epoch)
                for i, image in enumerate(pictures(values) if self.write_images else ()):
                    self.writer("train").add_image(f"{weight.path}/image/{i}", image, epoch, dataformats="HW")


def pictures(values):
    """A weight as images (n, h, w) of bytes, none if it has too many axes: a bias is a line, a matrix lies flat."""
    values = np.squeeze(np.asarray(values, "float32"))
    if not 1 <= values.ndim <= 3:
        return ()
    if values.ndim == 1:
        values = values[None]
    if values.ndim == 2:
        values = (values.T if values.shape[0] > values.shape[1] else values)[None]
    else:
        values = values.transpose(2, 0, 1)  # a filter an image
    low, high = values.min(), values.max()
    return (255 * (values[:MOST_IMAGES] - low) / max(high - low, 1e-30)).astype("uint8")


def event_writer(folder):
    """A tensorboardX writer; Missing, with the extra, if it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise Missing("TensorBoard writes with tensorboardX", fix="pip install 'seriatim[tensorboard]'") from error
    return SummaryWriter(folder, flush_secs=5)


def write_layers(writer, text):
    """The configuration of the model, for TensorBoard's picture of the layers."""
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto

    about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1"))
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()])
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="keras", metadata=about, tensor=tensor)]), 0)
