# The words after ## are what `make help` prints.
# VENV, PYTHON and PYTEST_ARGS may be given: make test PYTHON=python3.12 VENV=/tmp/other PYTEST_ARGS="-k worker"

.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint docs bench soak

VENV ?= .venv
PYTEST_ARGS ?=
PY = $(VENV)/bin/python

# The newest Python on the PATH that is new enough and can make environments; asked only when one has to be made.
NEW_ENOUGH = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do $$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { echo $$p; break; }; done)

UV = $(shell command -v uv)
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(PY),$(PY) -m pip install --quiet --disable-pip-version-check) -c constraints.txt

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.installed ## the example application for real: serve, take orders, run their jobs, stop
	@$(PY) examples/orders/demo.py

test: $(VENV)/.installed-dev ## the whole suite; PYTEST_ARGS="-k worker" narrows it
	@$(PY) -m pytest $(PYTEST_ARGS)

coverage: $(VENV)/.installed-dev ## the whole suite, and which lines and branches it does not reach
	@$(PY) -m coverage erase && $(PY) -m coverage run -m pytest $(PYTEST_ARGS) && $(PY) -m coverage combine -q && $(PY) -m coverage report

lint: $(VENV)/.installed-dev ## ruff, mypy --strict, pyright and the import contracts
	@PATH="$(abspath $(VENV))/bin:$$PATH" && ruff check && ruff format --check && mypy && (cd examples/orders && mypy --config-file ../../pyproject.toml main.py demo.py app tests) && pyright && lint-imports --no-logo

docs: $(VENV)/.installed-dev ## run every snippet of the documentation
	@$(PY) -m pytest tests/docs $(PYTEST_ARGS)

bench: $(VENV)/.installed-bench ## this project beside its peers and beside the limit of the store; BENCH_ARGS="--store postgresql drain"
	@$(PY) -m tests.benchmarks.run $(BENCH_ARGS)

soak: $(VENV)/.installed-dev ## every benchmark once, and the fault tests at their full length: processes killed, frozen and locked out for minutes
	@GOOSE_SOAK=1 $(PY) -m pytest tests/benchmarks tests/faults -s $(PYTEST_ARGS)

# Installed once, and again when the project's dependencies or the pinned versions change.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing goose into $(VENV) ..." && $(INSTALL) -e '.[testing]' && touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing goose and its development tools into $(VENV) ..." && $(INSTALL) -e '.[dev]' && touch $(VENV)/.installed $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing goose, its development tools and its peers into $(VENV) ..." && $(INSTALL) -e '.[bench]' && touch $(VENV)/.installed $(VENV)/.installed-dev $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "goose needs Python 3.11 or newer with its venv module: none found on the PATH; name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(if $(UV),$(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV),$(PYTHON) -m venv $(VENV))
