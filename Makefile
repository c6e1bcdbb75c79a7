# GreenIsland: what people type. `make setup` once, then `make demo` or `make test`.
PYTHON ?= python3
BIN := .venv/bin
# what could come out otherwise with another number of threads: the path from samples to episodes
MANY_THREADS := $(addprefix tests/property/test_,pipeline_laws.py windows.py derived.py alerts.py formulas.py)

.PHONY: setup demo test test-long check format bench boards lock bundle

setup: .venv/.ready ## create .venv with .venv/bin/greenisland

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup ## a whole centre on this machine: a day of history, then live, with incidents
	$(BIN)/greenisland demo $(ARGS)

test: setup check ## everything but the long runs; names what is missing. The laws hold on one thread and on several
	HYPOTHESIS_PROFILE=again $(BIN)/python -m pytest -m "not long" -n 2 $(MANY_THREADS)
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -m "not long" -n 2 --dist worksteal --durations=15 $(ARGS)

test-long: setup ## the long runs and many more examples of every law
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest $(ARGS)

check: setup ## style and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## figures of this machine
	$(BIN)/greenisland bench $(ARGS)

boards: setup ## write grafana/dashboards from grafana/boards
	$(BIN)/python -m grafana.generate

lock: ## renew requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock

bundle: setup ## wheels and an install script for machines without a network, into dist/ (needs an index)
	$(BIN)/python deploy/bundle.py dist $(ARGS)
