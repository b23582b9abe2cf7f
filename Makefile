# setup: a virtual environment with everything; demo: the product in one command; test: what .ci/run runs.
# Needs python3 >= 3.11 and nothing else.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Two cores are enough for all of this; libraries that start a thread per core of a big machine only get in each other's way.
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup demo test check

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("python3 >= 3.11 is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/framegate demo

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# pytest comes last, so that its summary is the last line.
test: setup
	$(MAKE) --no-print-directory check
	$(BIN)/pytest
