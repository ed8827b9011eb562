"""The house checks itself: floors, cycles, inner imports, sizes, public names, docstrings."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "seriatim"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "base": 0,
    "kernels": 0.5, "math": 1,  # math hands its work to kernels where they serve
    "layers": 2, "losses": 2, "metrics": 2, "optimizers": 2, "data": 2, "files": 2, "diagnose": 2,
    "engine": 3,
    "train": 4, "export": 4,
    "sequential": 5,
}  # fmt: skip
DOOR = 6
NO_JAX = ("base", "files", "diagnose")
OPTIONAL = {"optax", "matplotlib", "pandas", "tensorboardX", "IPython", "cairosvg", "polars", "PIL", "simplejpeg"}
LONGEST_FILE, LONGEST_FUNCTION = 520, 60


def room(path):
    """The first name below the package: `layers`, `losses`, `sequential`, …"""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name):
    return FLOORS.get(name, DOOR)


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, everywhere=True):
    """(module, node) of each import in a file; relative ones made absolute."""
    name, tree = module_name(path), ast.parse(path.read_text())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    nodes = ast.walk(tree) if everywhere else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            head = f"{base}.{node.module}" if node.level and node.module else base if node.level else node.module
            for alias in node.names:
                yield resolve(head, alias.name), node


def resolve(head, name):
    full = PACKAGE.parent / Path(*f"{head}.{name}".split("."))
    return f"{head}.{name}" if full.with_suffix(".py").exists() or (full / "__init__.py").exists() else head


MODULES = {module_name(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_room_calls_back_up(path):
    here = room(path)
    for target, node in imports(path):
        if target in MODULES and target != "seriatim":
            there = room(MODULES[target])
            if there == here or floor(here) == DOOR:
                continue
            assert floor(there) < floor(here), f"{path}:{node.lineno} floor {floor(here)} imports {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path):
    top = {node.lineno for _, node in imports(path, everywhere=False)}
    for target, node in imports(path):
        assert node.lineno in top or target.split(".")[0] in OPTIONAL, f"{path}:{node.lineno} imports {target} inside"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in NO_JAX], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_without_jax(path):
    for target, node in imports(path):
        assert target.split(".")[0] not in ("jax", "optax", "jaxlib"), f"{path}:{node.lineno}"


def test_no_import_cycle():
    graph = {name: {t for t, _ in imports(path) if t in MODULES and t != name} for name, path in MODULES.items()}
    graph.pop("seriatim")
    done, trail = set(), []

    def visit(name):
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done or name not in graph:
            return
        trail.append(name)
        for target in graph[name]:
            # a package's page of names is imported with its members; only real edges count
            if not (name.startswith(f"{target}.") and MODULES[target].name == "__init__.py"):
                visit(target)
        trail.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_files_and_functions_fit_the_eye():
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{path}:{node.lineno} {node.name}"


def test_every_page_says_what_it_means():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_rooms_without_a_name():
    for path in FILES:
        assert path.stem not in ("helpers", "common", "misc"), path
    assert not (PACKAGE / "utils").is_dir()


PUBLIC = (
    "layers", "models", "losses", "metrics", "optimizers", "optimizers.schedules", "callbacks", "activations",
    "preprocessing", "preprocessing.text", "preprocessing.sequence", "preprocessing.image",
    "initializers", "regularizers", "constraints", "utils", "utils.bounding_boxes", "datasets", "ops", "random",
    "config", "saving", "backend",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name):
    module = importlib.import_module(f"seriatim.{name}")
    for word in getattr(module, "__all__", []):
        member = getattr(module, word)
        if inspect.isclass(member) or inspect.isfunction(member):
            assert member.__doc__, f"seriatim.{name}.{word} has no docstring"


@pytest.mark.parametrize(
    ("what", "heavy"),
    [
        ("import seriatim", {"jax", "numpy", "h5py", "rich", "optax"}),
        ("from seriatim import Sequential, layers, optimizers", {"h5py", "rich.console", "optax", "PIL", "pandas"}),
    ],
)
def test_import_is_light(what, heavy):
    code = f"import sys; {what}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)
