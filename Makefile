PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests
WORKERS ?= $(shell expr `getconf _NPROCESSORS_ONLN` + 2) # tests wait a lot
# The suite starts hundreds of processes: none of them need compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test ready compiled tools soak agents check format bench clean

run: $(VENV)/run.stamp
	@exec $(BIN)/gunicorn wsgi:app

test: ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

ready: $(VENV)/dev.stamp tools tests/node/node_modules

# What each process of the suite would else do for itself, all of them at once.
compiled: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest --collect-only $(TESTS) >/dev/null

soak: ready
	$(BIN)/python -m pytest --soak -n 1 --timeout 3600 -rP $(TESTS)/system $(TESTS)/server $(TESTS)/storage $(TESTS)/services

# Coding agents from npm and PyPI, each with a file to write. AGENTS_CACHE keeps their installations.
agents: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --agents -n 1 -rA tests/agents

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/run.stamp
	$(BIN)/python -m bench $(ARGS)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/run.stamp: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@# Of what the vendors' SDKs bring little is used: it is compiled when it is.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

tools:
	@scripts/test-tools.sh

tests/node/node_modules: tests/node/package-lock.json | tools
	cd tests/node && npm ci --no-audit --no-fund --silent
	@touch $@

clean:
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache
