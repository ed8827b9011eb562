"""Categories as numbers: bins of a number, bins of a hash, and vectors with a place for each category.

Floor 2. Discretization and CategoryEncoding run in the compiled program; Hashing takes strings, and so the host.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from ..base import registry, settings
from ..base.fields import Anything, Bool, DType, Number, OneOf, OptionalInt, OptionalText, PositiveInt
from ..base.lazy import later
from ..base.memory import aligned
from ..base.report import UsageError
from ..math.hashing import farmhash, siphash
from .host import HostLayer, refuse, rows_of, strings_of
from .infer import KerasTensor
from .layer import Layer, symbol
from .variable import is_traced

sparse = later("scipy.sparse")
NO_SPARSE = "the compiled program takes dense arrays"


# ---- whole numbers as vectors ------------------------------------------------------------------------------


class Encoding(OneOf):
    """One of the modes; Keras's older words for two of them are understood."""

    def read(self, value, owner):
        return super().read({"binary": "multi_hot", "tf-idf": "tf_idf"}.get(value, value), owner)


def encoded(ids, mode, depth, dtype, weights=None):
    """Whole numbers ids (b, t, …) below `depth` as vectors; what lies outside of 0 … depth − 1 leaves no trace.

    "one_hot": (b, t, …, depth), a 1 for each (a last axis of size 1 goes); "multi_hot": (b, …, depth), a 1 for those
    that are among the t; "count": (b, …, depth), how often each is, or the sum of its `weights`.
    """
    ids = jnp.asarray(ids)
    if mode == "int":
        return ids
    ids = ids.astype("int32").reshape(ids.shape or (1,))
    if mode == "one_hot":
        return jax.nn.one_hot(ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids, depth, dtype=dtype)
    counted = min(1, ids.ndim - 1)
    ids = jnp.moveaxis(ids, counted, -1)
    flat = ids.reshape(-1, ids.shape[-1])
    if weights is None and not is_traced(flat) and jax.default_backend() == "cpu":
        y = jax.device_put(tallied(np.asarray(flat), depth, mode)).astype(dtype)
        return y.reshape(*ids.shape[:-1], depth)
    places = jnp.arange(len(flat))[:, None], jnp.where(flat < 0, depth, flat)  # beyond the end: dropped
    y = jnp.zeros((len(flat), depth), dtype)
    if mode == "multi_hot":
        y = y.at[places].set(1, mode="drop")
    else:
        each = 1 if weights is None else jnp.moveaxis(weights, counted, -1).reshape(flat.shape).astype(dtype)
        y = y.at[places].add(each, mode="drop")
    return y.reshape(*ids.shape[:-1], depth)


def tallied(ids, depth, mode):
    """The vectors (n, depth) of ids (n, t), float32, outside of a compiled program: XLA adds each by itself, slowly."""
    kept, y = (ids >= 0) & (ids < depth), aligned((len(ids), depth), np.float32)
    ends = np.concatenate([[0], np.cumsum(kept.sum(1))])
    y[...] = 0
    sparse.csr_array((np.ones(ends[-1], np.float32), ids[kept], ends), y.shape).toarray(out=y)
    return y if mode == "count" else np.minimum(y, 1, out=y)


def encoded_shape(shape, mode, depth):
    """The shape of `encoded` ids of this shape."""
    if mode == "int":
        return tuple(shape)
    if mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:1], *shape[2:], depth) if len(shape) > 1 else (depth,)


class CategoryEncoding(Layer):
    """Whole numbers below num_tokens as vectors: "one_hot" for each, "multi_hot" or "count" for each sample.

    (b, t) -> (b, num_tokens), or (b, t, num_tokens) with "one_hot" (without t where it is 1). Numbers that are not
    below num_tokens leave no trace, as in Keras on JAX. `layer(x, count_weights=w)` adds w up where "count" counts.

    >>> CategoryEncoding(4, "count")(jnp.array([[0, 1, 1]])).tolist()
    [[1.0, 2.0, 0.0, 0.0]]
    """

    integers = True
    full_precision = True

    num_tokens: OptionalInt = None
    output_mode: Annotated[str, Encoding("multi_hot", "one_hot", "count")] = "multi_hot"
    sparse: Bool = False

    def validate(self):
        refuse(self, sparse=NO_SPARSE)
        if self.num_tokens is None or self.num_tokens < 1:
            raise UsageError(
                "CategoryEncoding needs num_tokens, the number of categories", at=self._birthplace,
                saw=f"num_tokens={self.num_tokens}", want="1 or more",
                fix="IntegerLookup finds categories in data: adapt(data)",
            )  # fmt: skip

    def forward(self, w, x, call):
        return encoded(x, self.output_mode, self.num_tokens, self.compute_dtype)

    def __call__(self, x, count_weights=None, training=None, mask=None):
        """The vectors for `x`; where they count, each number may have a weight."""
        x = symbol(x)
        if isinstance(x, KerasTensor):
            return self.compute_output_spec(x)
        x = jnp.atleast_1d(x if is_traced(x) else jnp.asarray(rows_of(x, self)))
        if count_weights is None:
            return super().__call__(x, training, mask)
        if self.output_mode != "count":
            raise UsageError("count_weights weigh counts", saw=f"output_mode={self.output_mode!r}", want="'count'")
        return encoded(x, "count", self.num_tokens, self.compute_dtype, jnp.asarray(count_weights))

    def compute_output_shape(self, input_shape):
        return encoded_shape(tuple(input_shape), self.output_mode, self.num_tokens)

    def compute_output_spec(self, x, **options):
        return KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        config.pop("sparse")  # Keras leaves it out
        return config


# ---- bins of a number --------------------------------------------------------------------------------------


class Discretization(Layer):
    """y = how many of the boundaries are ≤ x: the number of the bin, or a vector of it as in CategoryEncoding.

    The boundaries are given, or `adapt(data)` learns num_bins bins of about equally many numbers: quantiles of a
    summary that errs by a share of about `epsilon`, merged batch by batch, as in Keras. NaN is in the last bin.

    >>> Discretization([0.0, 1.0, 2.0])(jnp.array([[-1.5, 1.0, 3.4]])).tolist()
    [[0, 2, 3]]
    """

    full_precision = True
    integers = True

    bin_boundaries: Anything = None
    num_bins: OptionalInt = None
    epsilon: Number = 0.01
    output_mode: Annotated[str, OneOf("int", "one_hot", "multi_hot", "count")] = "int"
    sparse: Bool = False
    dtype: DType = None
    name: OptionalText = None

    def validate(self):
        refuse(self, sparse=NO_SPARSE)
        if (self.num_bins is None) == (self.bin_boundaries is None) or (self.num_bins or 0) < 0:
            raise UsageError(
                "Discretization takes bin_boundaries, or num_bins and adapt(data)", at=self._birthplace,
                saw=f"bin_boundaries={self.bin_boundaries!r}, num_bins={self.num_bins!r}", want="one of the two",
            )  # fmt: skip
        if self.bin_boundaries is not None:
            self.bin_boundaries = [float(edge) for edge in self.bin_boundaries]
            if sorted(self.bin_boundaries) != self.bin_boundaries:
                raise UsageError(
                    "bin_boundaries ascend", at=self._birthplace, saw=f"{self.bin_boundaries}", fix="sorted(…)"
                )
        self.reset_state()

    def forward(self, w, x, call):
        if self.bin_boundaries is None:
            raise UsageError(
                f"{self.name} (Discretization) has no boundaries yet", at=self._birthplace, saw="a call before adapt()",
                fix="layer.adapt(data), or bin_boundaries=[…]",
            )  # fmt: skip
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype("float32")
        bins = jnp.searchsorted(jnp.asarray(self.bin_boundaries, "float32"), x.astype("float32"), side="right")
        return encoded(bins.astype("int32"), self.output_mode, len(self.bin_boundaries) + 1, self.compute_dtype)

    def __call__(self, x, training=None, mask=None):
        """The bins of numbers in arrays or lists."""
        x = symbol(x)
        x = x if is_traced(x) or isinstance(x, KerasTensor) else jnp.asarray(rows_of(x, self))
        return super().__call__(x, training, mask)

    def compute_output_shape(self, input_shape):
        bins = self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1
        return encoded_shape(tuple(input_shape), self.output_mode, bins)

    def adapt(self, data, steps=None):
        """Learn the boundaries from an array, or from an iterable of batches (of tuples, the first entry counts)."""
        if self.num_bins is None:
            raise UsageError(
                f"{self.name} (Discretization) has its boundaries already", at=self._birthplace,
                saw="adapt() of a layer with bin_boundaries=…", fix="Discretization(num_bins=…), then adapt(data)",
            )  # fmt: skip
        self.reset_state()
        whole = hasattr(data, "dtype") or hasattr(data, "to_numpy")
        for i, batch in enumerate([data] if whole else data):
            if steps is not None and i >= steps:
                break
            self.update_state(batch[0] if isinstance(batch, tuple) else batch)
        self.finalize_state()

    def update_state(self, data):
        """Take a batch into the summary."""
        values = np.asarray(rows_of(data, self) if np.ndim(data) else data).astype("float32")
        self.summary = compressed(np.concatenate([summary(values, self.epsilon), self.summary], 1), self.epsilon)

    def finalize_state(self):
        """Make boundaries of the summary."""
        if self.num_bins is not None and self.summary.size:
            self.bin_boundaries = compressed(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self):
        """Forget what was seen; the boundaries stay until they are made anew."""
        self.summary = np.zeros((2, 0), "float32")

    def get_config(self):
        config = super().get_config()
        config.pop("trainable")
        return {**config, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """A layer that has adapted has both: how many bins were asked for, and where they are."""
        if config.get("num_bins") is None or config.get("bin_boundaries") is None:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})
        layer.bin_boundaries = list(config["bin_boundaries"])
        return layer

    def source(self):
        """Python source of the layer before it adapted."""
        if self.num_bins is None or self.bin_boundaries is None:
            return super().source()
        return type(self).from_config({**self.get_config(), "bin_boundaries": None}).source()


Discretization.dtype = vars(Layer)["dtype"]  # its place among the arguments is its own, its meaning is not


def summary(values, epsilon):
    """Every so many-th of the sorted values, about 1 / epsilon of them, and the number that each stands for: (2, n)."""
    values = np.sort(values.reshape(-1))
    step = max(values.size * epsilon, 1)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.ones_like(chosen) * step])


def compressed(parts, epsilon):
    """A summary (2, n) of weighted values, sorted, at steps of `epsilon` of the weight, interpolated."""
    parts = parts[:, np.argsort(parts[0])]
    if parts.shape[1] * epsilon < 1:
        return parts
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weight = parts[1].cumsum()
    values, upto = (np.interp(shares, weight / weight[-1], row) for row in (parts[0], weight))
    return np.stack([values, np.diff(upto, prepend=0)]).astype("float32")


# ---- bins of a hash ----------------------------------------------------------------------------------------


class Hashing(HostLayer):
    """y = hash(x) mod num_bins, for strings and whole numbers (as decimals); the same on every machine.

    FarmHash64, or with a `salt` (one or two whole numbers) SipHash. mask_value has bin 0 for itself. output_mode as in
    CategoryEncoding. Keras needs TensorFlow for this layer; the bins are the same.

    >>> Hashing(3)([["A"], ["B"], ["C"]]).tolist()
    [[1], [0], [1]]
    """

    num_bins: PositiveInt
    mask_value: Anything = None
    salt: Anything = None
    output_mode: Annotated[str, OneOf("int", "one_hot", "multi_hot", "count")] = "int"
    sparse: Bool = False

    def validate(self):
        refuse(self, sparse=NO_SPARSE)
        self.salt = two_words(self, self.salt)
        self.traced = self.output_mode != "int"
        if self._given[1].get("dtype") is None:
            self.dtype = self.accept("dtype", settings.floatx() if self.traced else "int64")
        elif not self.traced and self.compute_dtype not in ("int32", "int64"):
            raise UsageError(
                "Hashing gives whole numbers", at=self._birthplace, saw=f"dtype={self.compute_dtype!r}",
                want="'int32', 'int64', or an output_mode of vectors",
            )  # fmt: skip

    def feed(self, x):
        masked = None if self.mask_value is None or self.num_bins == 1 else x == self.mask_value
        ids = hashed(decimals(x, self), self.num_bins - (masked is not None), self.salt).reshape(x.shape)
        return ids if masked is None else np.where(masked, 0, ids + 1).astype("int32")

    def forward(self, w, x, call):
        return encoded(x, self.output_mode, self.num_bins, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return encoded_shape(tuple(input_shape), self.output_mode, self.num_bins)


def two_words(layer, salt):
    """A salt as a list of two whole numbers, or None."""
    pair = [salt, salt] if isinstance(salt, int) else salt
    if pair is not None and not (isinstance(pair, (list, tuple)) and [type(part) for part in pair] == [int, int]):
        raise UsageError("a salt is one or two whole numbers", at=layer._birthplace, saw=repr(salt), want="[133, 137]")
    return None if pair is None else list(pair)


def decimals(x, layer):
    """The entries of an array as a flat list of strings; numbers as decimals, cut to whole ones."""
    if x.dtype.kind in "iufb":
        return list(map(str, x.astype("int64").ravel().tolist()))
    return strings_of(x, layer)


def hashed(strings, bins, salt=None):
    """The bin of each string: int32 (n,). Each string is hashed once, however often it comes."""
    once = [text.encode() for text in dict.fromkeys(strings)]
    codes = farmhash(once) if salt is None else siphash(once, salt)
    place = dict(zip(once, (codes % np.uint64(bins)).astype("int32").tolist(), strict=True))
    return np.fromiter(map(place.__getitem__, map(str.encode, strings)), "int32", len(strings))


registry.add("layer", CategoryEncoding, Discretization, Hashing)
