# The command line of the laboratory. `make` alone explains itself.

.DEFAULT_GOAL := help
.PHONY: help setup train sweep curves figures bench bench-gpu test test-slurm test-faults test-gpu kernels sanitize lint format tensorboard clean

PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
WITH_TRITON := .venv/.with_triton

help:  ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo '  ARGS=...      overrides, e.g. make train ARGS="task.length=100 optimizer=msgd_c"'
	@echo '  PIP_ARGS=...  for pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"'
	@echo '  PYTHON=...    3.11 or newer, used once to make .venv'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'error: Python 3.11 or newer is needed; choose one with PYTHON=...' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable '.[dev]'
	@touch $@

$(WITH_TRITON): $(READY)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable '.[dev,cuda]'
	@touch $@

setup: $(READY)  ## Make .venv with everything in it (the others do so too)

train: $(READY)  ## Train one population: temporal order, length 50, MSGD-CR
	$(BIN)/python -m src.train $(ARGS)

sweep: $(READY)  ## The three methods side by side, and their success rates
	$(BIN)/python -m src.train -m optimizer=msgd,msgd_c,msgd_cr trainer.max_steps=60000 $(ARGS)

curves: $(READY)  ## Rebuild tables and plots: make curves ARGS=sweeps/...
	$(BIN)/python -m src.curves $(or $(ARGS),$(wildcard sweeps/*))

tensorboard: $(READY)  ## Look at all runs and sweeps in a browser
	$(BIN)/tensorboard --logdir_spec runs:runs,sweeps:sweeps $(ARGS)

figures: $(READY)  ## Redraw the figures that explain, into docs/
	$(BIN)/python -m src.figures all $(ARGS)

bench: $(READY)  ## Time it beside what one would write instead; 10 minutes, on an idle machine
	$(BIN)/python -W ignore -m bench.bench $(ARGS)

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)  ## Mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(WITH_TRITON) lint sanitize  ## Lint, types, sanitizers and all tests
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 $(ARGS)

test-slurm: $(READY)  ## Sweeps through a real Slurm of one node, where it is installed
	OMP_NUM_THREADS=1 $(BIN)/python tools/slurm_test.py

COUNTS := .pytest_cache/faults.jsonl

test-faults: $(READY)  ## Full disks, kills, damaged files, odd configurations: 20 to 30 minutes, and docs/faults.md anew
	@mkdir -p $(dir $(COUNTS)) && rm -f $(COUNTS)
	FAULTS=full FAULTS_COUNTS=$(COUNTS) OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 tests/faults $(ARGS)
	$(BIN)/python -m tests.faults.table $(COUNTS) > docs/faults.md

test-gpu: $(WITH_TRITON)  ## The tests that need a GPU, with what ran where
	TRITON_INTERPRET=0 $(BIN)/python -m pytest -m gpu -rA tests/test_cuda_gpu.py $(ARGS)

bench-gpu: $(WITH_TRITON)  ## Time the kernels on a GPU beside the loop, nn.RNN and nn.LSTM
	TRITON_INTERPRET=0 $(BIN)/python -m bench.gpu $(ARGS)

kernels: $(WITH_TRITON)  ## Compile the GPU kernels without a GPU: registers, stack, shared memory
	$(BIN)/python -m tools.kernels --check $(ARGS)

SANITIZE := -std=c++17 -O1 -g -march=native -fsanitize=address,undefined -fno-sanitize-recover=all -pthread

sanitize:  ## The C++ under AddressSanitizer and UBSan, where there is a compiler that has them
	@compiler=$${CXX:-$$(command -v c++ || command -v g++ || command -v clang++ || echo none)}; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	if ! echo 'int main() {}' | $$compiler $(SANITIZE) -x c++ - -o "$$folder/empty" 2>/dev/null; then \
		echo "no C++ compiler with sanitizers ($$compiler): not checked"; \
	else \
		$$compiler $(SANITIZE) tests/cpu_check.cpp -o "$$folder/check" && "$$folder/check"; \
	fi

clean:  ## Remove .venv and caches; runs and sweeps stay
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
