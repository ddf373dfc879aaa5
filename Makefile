# make profile   set up, then profile an LSTM under a 1 GiB limit: table, run file, charts
# make test      set up, then every check of a change: a few minutes
# make test-all  set up, then every test with coverage, many examples and the long fault campaigns
# make bench-smoke  set up, then each benchmark at its smallest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
CUDA_VENV := .venv-cuda
CUDA_STAMP := $(CUDA_VENV)/.ready

# two threads in each of two processes would only wait for each other
SIDE_BY_SIDE := OMP_NUM_THREADS=1
PARALLEL := -m pytest -n 2 --dist worksteal
# the in-process search in a process of its own: what others import would move its largest batch
IN_PROCESS := tests/maxbatch/test_inprocess.py

# on a simulated GPU: torch's CUDA build, which the main environment need not have
CUDA_TESTS := -m pytest tests/cuda -rs

.PHONY: profile test test-all lint types imports unit unit-all bench-smoke clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rnnprof needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(CUDA_STAMP): $(STAMP) tests/cuda/environment.py
	$(BIN)/python tests/cuda/environment.py $(VENV) $(CUDA_VENV)
	touch $@

profile: $(STAMP)
	$(BIN)/rnnprof profile --cell lstm --memory-limit 1GiB --batch 16:512:x2 --time-steps 16:128:x2 \
	    --overwrite -o rnnprof-runs/lstm-1GiB.jsonl

test: lint types imports unit

test-all: lint types imports unit-all

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP) $(CUDA_STAMP)
	$(SIDE_BY_SIDE) $(BIN)/python $(PARALLEL) -m "not alone and not slow" --durations=15
	$(BIN)/python -m pytest $(IN_PROCESS) -m "alone and not slow"
	$(BIN)/python -m pytest --ignore=$(IN_PROCESS) -m "alone and not slow"
	$(SIDE_BY_SIDE) $(CUDA_VENV)/bin/python $(CUDA_TESTS) -n 2 -m "not slow" --durations=5

unit-all: export HYPOTHESIS_PROFILE := all
unit-all: $(STAMP) $(CUDA_STAMP)
	$(BIN)/coverage erase
	$(SIDE_BY_SIDE) $(BIN)/coverage run $(PARALLEL) -m "not alone" --durations=25
	$(BIN)/coverage run -m pytest $(IN_PROCESS) -m alone
	$(BIN)/coverage run -m pytest --ignore=$(IN_PROCESS) -m alone --durations=10
	$(SIDE_BY_SIDE) $(CUDA_VENV)/bin/python -m coverage run $(CUDA_TESTS) -n 2 --durations=10
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

bench-smoke: $(STAMP)
	$(BIN)/python -m benchmarks smoke

clean:
	rm -rf $(VENV) $(CUDA_VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
