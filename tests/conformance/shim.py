"""The assertions that Keras's test files call, on our layers: `keras.src.testing`.

Where it is weaker than Keras's own:
- an error's class is checked, its words only if the error is not one of ours (`base/report.py`): our words are ours;
- a seed is no variable here, so `expected_num_seed_generators` is not compared, nor counted as a variable;
- a class that nobody registered is known while its object is revived (Keras imports the module that a file names);
- the training step of `run_layer_test` is one `fit` of `Sequential([layer])`; a sample alone gets a batch axis.
"""

import functools
import itertools
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
from absl.testing import parameterized

from seriatim import KerasTensor, Sequential, backend, ops, tree, utils
from seriatim.base.report import SeriatimErrors
from seriatim.layers import InputLayer, Layer


class OurWords(unittest.case._AssertRaisesContext):
    """assertRaisesRegex: an error of ours may say it in its own words."""

    def __exit__(self, kind, error, trace):
        ours = kind is not None and issubclass(kind, self.expected) and isinstance(error, SeriatimErrors)
        if ours and not self.expected_regex.search(str(error)):
            self.expected_regex = None
        return super().__exit__(kind, error, trace)


class TestCase(parameterized.TestCase):
    maxDiff = None

    def setUp(self):
        backend.clear_session(free_memory=False)

    def get_temp_dir(self):
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def assertRaisesRegex(self, expected_exception, expected_regex, *args, **kwargs):
        context = OurWords(expected_exception, self, expected_regex)
        return context.handle("assertRaisesRegex", args, kwargs)

    def convert_to_numpy(self, x):
        return np.asarray(x)

    def assertAllClose(self, actual, desired, atol=1e-6, rtol=1e-6, tpu_atol=None, tpu_rtol=None, msg=None):
        np.testing.assert_allclose(np.asarray(actual), np.asarray(desired), atol=atol, rtol=rtol, err_msg=msg or "")

    def assertNotAllClose(self, x1, x2, atol=1e-6, rtol=1e-6, msg=None):
        x1, x2 = np.asarray(x1), np.asarray(x2)
        if x1.shape == x2.shape and np.allclose(x1, x2, atol=atol, rtol=rtol):
            raise AssertionError(f"all elements are close: {msg or ''} {x1}")

    def assertAlmostEqual(self, actual, desired, decimal=3, tpu_decimal=None, msg=None):
        np.testing.assert_almost_equal(np.asarray(actual), np.asarray(desired), decimal=decimal, err_msg=msg or "")

    def assertAllEqual(self, actual, desired, msg=None):
        np.testing.assert_array_equal(np.asarray(actual), np.asarray(desired), err_msg=msg or "")

    def assertLen(self, iterable, expected_len, msg=None):
        self.assertEqual(len(iterable), expected_len, msg=msg)

    def assertDType(self, x, dtype, msg=None):
        self.assertEqual(dtype_of(x), backend.standardize_dtype(dtype), msg=msg)

    def assertFileExists(self, path):
        self.assertTrue(Path(path).is_file(), f"there is no file {path}")

    def assertSparse(self, x, sparse=True):
        self.assertFalse(sparse, "sparse tensors are not offered")

    def assertRagged(self, x, ragged=True):
        self.assertFalse(ragged, "ragged tensors are not offered")

    def run_class_serialization_test(self, instance, custom_objects=None):
        """config -> object -> config gives the same, by `from_config` and by the registry."""
        first, words = written(instance.get_config()), offered(instance)
        custom_objects = {**written_by_tests(), **(custom_objects or {})}
        with utils.custom_object_scope(custom_objects):
            again = type(instance).from_config(instance.get_config())
        self.assertEqual(first, written(again.get_config()))
        self.assertEqual(words, offered(again))
        config = utils.serialize_keras_object(instance)
        with utils.custom_object_scope(custom_objects):
            revived = utils.deserialize_keras_object(json.loads(json.dumps(config)))
        self.assertEqual(written(json.loads(json.dumps(instance.get_config()))), written(revived.get_config()))
        self.assertEqual(words, offered(revived))
        return revived

    def run_layer_test(
        self, layer_cls, init_kwargs, input_shape=None, input_dtype=None, input_sparse=False, input_ragged=False,
        input_data=None, call_kwargs=None, expected_output_shape=None, expected_output_dtype=None,
        expected_output_sparse=False, expected_output_ragged=False, expected_output=None,
        expected_num_trainable_weights=None, expected_num_non_trainable_weights=None,
        expected_num_non_trainable_variables=None, expected_num_seed_generators=None, expected_num_losses=None,
        supports_masking=None, expected_mask_shape=None, custom_objects=None, run_training_check=True,
        run_mixed_precision_check=True, assert_built_after_instantiation=False, tpu_atol=None, tpu_rtol=None,
    ):  # fmt: skip
        if input_sparse or input_ragged:
            self.skipTest("needs sparse or ragged tensors")
        make = functools.partial(layer_cls, **(init_kwargs or {}))
        call_kwargs = call_kwargs or {}
        layer = make()
        self.run_class_serialization_test(layer, custom_objects)
        if supports_masking is not None:
            self.assertEqual(layer.supports_masking, supports_masking, "supports_masking")
        if assert_built_after_instantiation:
            self.assertTrue(make().built, f"{layer_cls.__name__} holds no weights, so it is built from the start")
        if input_shape is None and input_data is None:
            return
        if input_data is None:
            dtypes = tree.map_shape_structure(lambda _: "float32", input_shape) if input_dtype is None else input_dtype
            data = shapes_to(eager, input_shape, dtypes)
        else:
            data = input_data
        spec = tree.map_structure(lambda a: KerasTensor(np.shape(a), dtype_of(a)), data)
        if input_shape is not None:
            spec = shapes_to(KerasTensor, input_shape, dtypes)
        counts = [
            ("trainable_weights", expected_num_trainable_weights),
            ("non_trainable_weights", expected_num_non_trainable_weights),
        ]
        if expected_num_non_trainable_variables is not None and expected_num_seed_generators is not None:
            variables = expected_num_non_trainable_variables - expected_num_seed_generators
            counts.append(("non_trainable_variables", variables))

        def check_built(layer):
            self.assertTrue(layer.built, "built")
            for name, number in counts:
                if number is not None:
                    self.assertLen(getattr(layer, name), number, name)

        def check_output(output):
            if expected_output_shape is not None:
                tree.map_shape_structure(lambda shape: None, expected_output_shape)
                fits = flat_shapes(expected_output_shape)
                seen = [tuple(y.shape) for y in tree.flatten(output)]
                for want, shape in zip(fits, seen, strict=True):
                    same = len(want) == len(shape) and all(
                        w is None or w == s for w, s in zip(want, shape, strict=True)
                    )
                    self.assertTrue(same, f"output shapes {seen}, expected {fits}")
            if expected_output_dtype is not None:
                seen = [dtype_of(y) for y in tree.flatten(output)]
                self.assertEqual(tree.flatten(expected_output_dtype), seen, "output dtype")

        # built from a shape, and by a call without data
        layer = make()
        layer.build(tree.map_structure(np.shape, data) if input_shape is None else input_shape)
        check_built(layer)
        layer = make()
        symbolic = layer(spec, **call_kwargs)
        check_built(layer)
        check_output(symbolic)
        if expected_mask_shape is not None:
            self.assertEqual(expected_mask_shape, layer.compute_mask(spec).shape)

        # called with data, then trained for one step
        layer = make()
        output = layer(data, **call_kwargs)
        check_output(output)
        if expected_output is not None:
            for want, seen in zip(tree.flatten(expected_output), tree.flatten(output), strict=True):
                self.assertAllClose(want, seen, msg="output")
        if expected_num_losses is not None:
            self.assertLen(layer.losses, expected_num_losses, "losses")
        if run_training_check and not isinstance(data, (list, tuple, dict)):
            one_step(layer, data, output)
        if run_mixed_precision_check:
            self.check_mixed_precision(layer_cls, init_kwargs, data, call_kwargs)

    def check_mixed_precision(self, layer_cls, init_kwargs, data, call_kwargs):
        layer = layer_cls(**{**(init_kwargs or {}), "dtype": "mixed_float16"})
        output = layer(data, **call_kwargs)

        def entering(a):
            cast = layer.autocast and backend.is_float_dtype(dtype_of(a))
            return KerasTensor(np.shape(a), layer.compute_dtype if cast else dtype_of(a))

        promised = layer.compute_output_spec(tree.map_structure(entering, data))
        for y, spec in zip(tree.flatten(output), tree.flatten(promised), strict=True):
            self.assertEqual(dtype_of(y), spec.dtype, "dtype under mixed_float16")
        for weight in layer.weights:
            if backend.is_float_dtype(weight.dtype):
                self.assertEqual(weight.dtype, "float32", "weights under mixed_float16")


def written_by_tests(kind=Layer):
    """{name: class} of the layers that are not the library's."""
    found = {}
    for cls in kind.__subclasses__():
        found |= written_by_tests(cls)
        if not cls.__module__.startswith("seriatim."):
            found[cls.__name__] = cls
    return found


def one_step(layer, data, output):
    if layer.single == np.ndim(data):  # a chain takes several
        data, output = data[None], output[None]
    model = Sequential([InputLayer(batch_shape=np.shape(data), dtype=dtype_of(data)), layer])
    model.compile("sgd", loss=lambda y_true, y_pred: ops.sum(y_pred))
    model.fit(np.asarray(data), np.asarray(output), batch_size=len(data), epochs=1, verbose=0)


def offered(instance):
    """The public names of an object, without what building leaves."""
    return {name for name in dir(instance) if name[0] != "_"} - {"input_spec_shape"}


def dtype_of(x):
    return backend.standardize_dtype(x.dtype if hasattr(x, "dtype") else type(x))


def eager(shape, dtype):
    rng = np.random.default_rng(1337)
    return ops.cast(rng.random(shape, dtype="float32") * 3, dtype)


def is_shape(shape):
    return isinstance(shape, (list, tuple)) and all(size is None or isinstance(size, int) for size in shape)


def shapes_to(make, shape, dtype):
    """The same structure, with make(shape, dtype) for each shape."""
    if is_shape(shape):
        return make(tuple(shape), dtype)
    if isinstance(shape, dict):
        return {key.removesuffix("_shape"): shapes_to(make, item, dtype[key]) for key, item in shape.items()}
    return type(shape)(shapes_to(make, item, kind) for item, kind in zip(shape, dtype, strict=True))


def flat_shapes(shape):
    if is_shape(shape):
        return [tuple(shape)]
    return [one for item in (shape.values() if isinstance(shape, dict) else shape) for one in flat_shapes(item)]


def written(config):
    return json.dumps(config, sort_keys=True, default=lambda value: getattr(value, "name", repr(value)))


# ---- small functions of the testing module ---------------------------------------------------------------


def named_product(*groups, **values):
    """Cases for every combination, each with a `testcase_name` made of the parts."""

    def word(value):
        return str(getattr(value, "__name__", value)).lower()

    choices = [list(group) for group in groups]
    choices += [[{"testcase_name": word(v), name: v} for v in options] for name, options in values.items()]
    cases = []
    for parts in itertools.product(*choices):
        merged = {key: item for part in parts for key, item in part.items()}
        cases.append({**merged, "testcase_name": "_".join(part["testcase_name"] for part in parts)})
    return cases


def get_test_data(train_samples, test_samples, input_shape, num_classes, random_seed=None):
    """Two sets of points around `num_classes` centres: (x, y) to train, (x, y) to test."""
    rng = np.random.default_rng(random_seed)
    centres = rng.normal(size=(num_classes, *input_shape))

    def some(count):
        y = np.arange(count) % num_classes
        rng.shuffle(y)
        x = centres[y] * 3 + rng.normal(size=(count, *input_shape))
        return x.astype("float32"), y.astype("int32")

    return some(train_samples), some(test_samples)


def no():
    return False


uses_gpu = uses_tpu = jax_uses_gpu = jax_uses_tpu = no
tensorflow_uses_gpu = tensorflow_uses_tpu = torch_uses_gpu = torch_uses_tpu = no
assert_allclose, assert_array_equal = np.testing.assert_allclose, np.testing.assert_array_equal
