# make profile   set up, then profile an LSTM under a 1 GiB limit: table, run file, charts
# make test      set up, then every check
# make bench-smoke  set up, then each benchmark at its smallest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: profile test lint types imports unit bench-smoke clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rnnprof needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

profile: $(STAMP)
	$(BIN)/rnnprof profile --cell lstm --memory-limit 1GiB --batch 16:512:x2 --steps 16:128:x2 \
	    --overwrite -o rnnprof-runs/lstm-1GiB.jsonl

test: lint types imports unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/coverage erase
	# two threads in each of two processes would only wait for each other
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n 2 --dist worksteal -m "not alone" --durations=25
	# these measure their own process: what else ran in it would move their edge
	$(BIN)/coverage run -m pytest -m alone tests/test_largest_batch.py
	$(BIN)/coverage run -m pytest -m alone --ignore=tests/test_largest_batch.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

bench-smoke: $(STAMP)
	$(BIN)/python -m benchmarks smoke

clean:
	rm -rf $(VENV) build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
