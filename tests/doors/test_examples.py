"""The examples: each compiles, says whose data it reads and what to expect; two run to the end on packaged data."""

import ast
import os
import py_compile
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_page(path, tmp_path):
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled.pyc"), doraise=True)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    head = ast.get_docstring(tree)
    assert re.search(r"^Data: ", head, re.M) and re.search(r"CC BY|public domain|BSD|MIT|Apache", head)
    assert re.search(r"\bexpect\b", head, re.I), "say what to expect"
    assert "set_random_seed(1)" in path.read_text(encoding="utf-8")
    assert f"]({path.name})" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_public_words_only(path):
    """Of seriatim only what a user may import: no inner rooms."""
    doors = {"callbacks", "datasets", "layers", "metrics", "models", "optimizers", "optimizers.schedules", "utils"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "seriatim":
            assert node.module == "seriatim" or node.module.partition(".")[2] in doors, node.module


@pytest.mark.parametrize(
    "name, made",
    [
        ("digits", {"digits.keras", "digits.svg", "digits_history.svg"}),
        ("autoencoder", {"autoencoder.keras", "autoencoder.svg", "autoencoder.png"}),
    ],
)
def test_runs_to_the_end(name, made, tmp_path):
    """One epoch in a process of its own: the script's whole path, saving and reloading included."""
    if name == "autoencoder":
        pytest.importorskip("matplotlib")
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "KERAS_MAX_EPOCHS": "1", "PYTHONPATH": path, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")], cwd=tmp_path, env=env, capture_output=True, text=True,
        encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert {file.name for file in (tmp_path / "out").iterdir()} == made
    assert "that it never saw" in done.stdout
