# Every target makes .venv when it needs it. Another Python: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint docs bench clean

help:
	@echo 'make demo    a synthetic release, exported and validated, in demo/'
	@echo 'make test    everything that must pass: lint, tests, documentation'
	@echo 'make lint    ruff, codespell, mypy'
	@echo 'make docs    the documentation, in docs/_build/html'
	@echo 'make bench   the benchmarks'
	@echo 'make clean   remove what the others made'

venv: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'mrrate-bids needs Python 3.11 or newer, as "$(PYTHON)".' \
	         'Name another one: make … PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	# torch first, and alone: other packages would bring a build of it that does not suit.
	$(PIP) install --quiet --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[all,test,docs]'
	touch $@

demo: $(STAMP)
	$(BIN)/mrrate-bids demo demo

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/mypy

# A file at a time to each process: what its tests share is made once.
test: lint
	$(BIN)/pytest -n auto --dist loadfile
	$(MAKE) docs

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(STAMP)
	set -e; for script in benchmarks/*.py; do $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) build dist demo docs/_build *.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find mrrate_bids templates workflows tests benchmarks docs -name __pycache__ -prune -exec rm -r {} +
