"""The arrays of a model and of its optimizer as nested dicts by path: Keras's state tree. Floor 4."""

import jax
import numpy as np

from ..base.report import UsageError, birthplace


def groups(model):
    """{group: {path: Variable}}"""
    return {
        "trainable_variables": {f"{model.name}/{v.path}": v for v in model.trainable_variables},
        "non_trainable_variables": {f"{model.name}/{v.path}": v for v in model.non_trainable_variables},
        "optimizer_variables": {v.path: v for v in model.optimizer.variables} if model.optimizer else {},
        "metrics_variables": {},
    }


def read(model, value_format):
    """{group: the arrays, nested by the words of their paths}"""
    if value_format not in ("backend_tensor", "numpy_array"):
        raise UsageError(
            "this value_format is not known", at=birthplace(), saw=f"value_format={value_format!r}",
            want="'backend_tensor' or 'numpy_array'",
        )  # fmt: skip
    tree = {}
    for group, variables in groups(model).items():
        tree[group] = {}
        for path, variable in variables.items():
            place, (*above, name) = tree[group], path.split("/")
            for word in above:
                place = place.setdefault(word, {})
            place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
    return tree


def write(model, tree):
    """Assign what the tree holds, after all of it has been found to fit."""
    if tree.get("optimizer_variables") and model.optimizer and model.optimizer_shapes is None:
        model.build_optimizer()
    known, news = groups(model), []
    for group, nested in tree.items():
        if group == "metrics_variables":  # of Keras's models; here they begin anew
            continue
        for keys, value in jax.tree_util.tree_leaves_with_path(nested):
            path = "/".join(str(key.key) for key in keys)
            variable = known.get(group, {}).get(path)
            if variable is None or variable.shape != np.shape(value):
                raise UsageError(
                    f"{model.name} has no such variable", at=birthplace(),
                    saw=f"{group}: {path}, of shape {np.shape(value)}",
                    want=f"shape {variable.shape}" if variable is not None else ", ".join(known.get(group, known)),
                )  # fmt: skip
            news.append((variable, value))
    for variable, value in news:
        variable.assign(value)
