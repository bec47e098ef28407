# Every target sets itself up: Python 3.11 or newer, make and git are all that must be there.
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# keeps pip from fetching the CUDA packages that the default torch wheel brings on Linux.

PYTHON ?= python3
PIP_ARGS ?=

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# What the demo needs; an environment for development has it already.
INSTALLED := $(firstword $(wildcard $(VENV)/.dev-installed) $(VENV)/.run-installed)
PACKAGES := cmil feature_extraction survival cohorts

.DEFAULT_GOAL := help
.PHONY: demo test coverage lint types docs bench clean help

demo: $(INSTALLED) ## draw a simulated study, run it, write demo/index.html
	$(BIN)/cmil demo --out demo

test: $(VENV)/.dev-installed ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/.dev-installed ## run the tests and print coverage, which takes half as long again
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PACKAGES:%=--cov=%) --cov-report=term

lint: $(VENV)/.dev-installed ## check style, format, import directions and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

types: $(VENV)/.dev-installed ## check types only
	$(BIN)/mypy

docs: $(VENV)/.dev-installed ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.dev-installed ## run every script in benchmarks/
	@for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "benchmarks/ holds no script"; break; }; \
	  echo "== $$script"; $(BIN)/python "$$script" || exit 1; \
	done

clean: ## remove the environment and everything that was built; demo/ and runs/ stay
	rm -rf $(VENV) site dist *.egg-info .coverage .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

# A stamp is renewed when pyproject.toml changes. Everything an environment needs is resolved in
# one call of pip, so that no later call can replace torch. pip would compile all of torch and Ray,
# which takes longer than to install them; Python compiles what is imported, and must keep it.
unexport PYTHONDONTWRITEBYTECODE

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: cMIL needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install python3-venv"; exit 1; }

$(VENV)/.run-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --no-compile $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.dev-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --no-compile $(PIP_ARGS) -e '.[dev,docs]'
	@touch $@
