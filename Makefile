# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
RUN ?= runs/demo
WORKERS ?= 2
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help install demo test check format docs peers clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

install: $(STAMP)  ## make .venv and install into it; quick when nothing changed

# Build tools come first, by their pinned versions, and then serve without isolation: nothing is resolved twice.
# torch is asked for by number in the same call as the rest, so that no other build of it is ever looked at.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Shoal needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -1)." \
	       "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),install)" >&2; exit 2; }
	@echo "Installing into .venv; the first time takes a few minutes." >&2
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation \
	  $(TORCH) -e '.[dev]'
	@touch $@

demo: install  ## fit the embedded data, print segments, recommendations and metrics, write report.html
	$(BIN)/shoal demo $(RUN)

test: install  ## all tests; make test WORKERS=4, make test ARGS='-m "not slow"'
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: install  ## format, lint, types, import contracts, stale docs, README
	scripts/check

format: install  ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## write what is generated: docs/reference, the README's tree
	$(BIN)/python scripts/docs.py

PEERS := benchmarks/peers

peers: .venv-peers/installed .venv-rectools/installed  ## environments of the peers, for benchmarks/compare.py

.venv-peers/installed: $(PEERS)/requirements.txt
.venv-rectools/installed: $(PEERS)/requirements-rectools.txt
.venv-%/installed:
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r $<
	@touch $@

clean:  ## remove .venv, runs and caches
	rm -rf .venv .venv-peers .venv-rectools runs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
