# Each target does its own set-up: it needs Python 3.11 or newer, pip and make, nothing else, and does it once.
# make rehearse ARGS="--seed 3" passes options on; make test TESTS=tests/col runs part of the tests.

VENV := .venv
BIN := $(VENV)/bin
PYTHON =
ARGS =
TESTS =
JOBS = 3

# Every test process has a core to itself: libraries that start a thread per core would only get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
BENCHMARKS := $(filter-out common __init__,$(basename $(notdir $(wildcard benchmarks/*.py))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev rehearse test lint types contracts unit benchmarks-quick format clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Set up what the product needs, once

setup-dev: $(VENV)/.installed-dev ## Set up what the tests need as well, once

rehearse: $(VENV)/.installed ## Learn the safe region of the default scenario (ARGS="--seed 3" passes options on)
	@$(BIN)/rantwin rehearse $(ARGS)

test: lint types contracts unit ## Run all that must pass: lint, types, import contracts, tests

lint: $(VENV)/.installed-dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --diff .

types: $(VENV)/.installed-dev ## Check types
	$(BIN)/mypy

contracts: $(VENV)/.installed-dev ## Check that imports run one way
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev ## Run the tests (TESTS=tests/col for some of them)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TESTS)

benchmarks-quick: $(VENV)/.installed-dev ## Run every benchmark in its quick form
	@failed=; for name in $(BENCHMARKS); do \
	    echo "== benchmarks.$$name --quick"; \
	    $(BIN)/python -m benchmarks.$$name --quick || failed="$$failed $$name"; \
	done; \
	[ -z "$$failed" ] || { echo "benchmarks failed:$$failed" >&2; exit 1; }

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment, builds and caches; runs are kept
	rm -rf $(VENV) .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are as old as the last change of what they depend on that was installed.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.created
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.created
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@

# venv where the system has it whole, else virtualenv, else virtualenv in a folder that goes again, else say what is missing.
# An environment that somebody made is kept; one that was left half made has no pip and is made again.
$(VENV)/.created:
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	python="$(PYTHON)"; \
	for candidate in python3 python3.11 python3.12 python3.13; do \
	    [ -z "$$python" ] || break; \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; fi; \
	done; \
	[ -n "$$python" ] || { echo 'no Python 3.11 or newer here: apt install python3, or make PYTHON=...' >&2; exit 1; }; \
	echo 'Setting up $(VENV): once, and it takes a minute or two'; \
	rm -rf $(VENV); $$python -m venv $(VENV) >/dev/null 2>&1 && touch $@ && exit 0; \
	rm -rf $(VENV); $$python -m virtualenv --quiet $(VENV) >/dev/null 2>&1 && touch $@ && exit 0; \
	rm -rf $(VENV); $$python -m pip install --quiet --target .tools -c constraints.txt virtualenv >/dev/null 2>&1; \
	PYTHONPATH=.tools $$python -m virtualenv --quiet $(VENV) >/dev/null 2>&1 && rm -rf .tools && touch $@ && exit 0; \
	rm -rf $(VENV); echo 'cannot make a virtual environment: apt install python3-venv' >&2; exit 1
