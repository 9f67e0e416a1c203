# Every target sets up .venv by itself. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
UNFINISHED := $(VENV)/.unfinished
# Workers of the test run; each computes on one thread.
JOBS ?= 2

# The first interpreter that really runs and is 3.11 or newer: version managers put names on the
# path that only print an error.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)

.PHONY: help install demo test test-all lint bench docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS=$$'\t' read -r target what; do printf 'make %-9s %s\n' "$$target" "$$what"; done

install: $(STAMP) ## set up .venv with galgen and the tools of development

# An install that was interrupted leaves UNFINISHED behind, and the next one starts from nothing.
$(STAMP): pyproject.toml constraints.txt
	@if [ -e $(UNFINISHED) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		if [ -z "$(PYTHON)" ]; then \
			echo "galgen needs Python 3.11 or newer: install it, or name one, as in make test PYTHON=/path/to/python3.12" >&2; \
			exit 2; \
		fi; \
		echo "setting up $(VENV) with $(PYTHON) (some minutes, once)"; \
		"$(PYTHON)" -m venv --clear $(VENV); \
	fi
	@touch $(UNFINISHED)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@rm $(UNFINISHED)
	@touch $@

demo: $(STAMP) ## pre-train, fine-tune, sample and evaluate, in a few minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

test: $(STAMP) ## run the quick tests
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

test-all: $(STAMP) ## run every test
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS)

lint: $(STAMP) ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: $(STAMP) ## run the benchmarks
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(STAMP) ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## remove .venv, caches and builds (runs are kept)
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .mypy_cache
	find galgen cli tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
