# `make demo` and `make test` are all the set-up there is; `make help` lists the rest.

VENV ?= .venv
BENCH_VENV ?= .bench-venv
LOWEST_VENV ?= .lowest-venv
WORKERS ?= 2
HOSTS ?= 8

BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.ready-demo
READY := $(VENV)/.ready
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lowest lint ruff format-check types imports docs golden bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## try everything on a small fleet of SSH hosts on loopback (HOSTS=8)
	@$(BIN)/aegis-provision demo --hosts $(HOSTS)

test: $(READY) ## run all tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lowest: $(READY) ## try the command line and the demo with the lowest versions that pyproject.toml allows
	@$(BIN)/python -m venv --clear $(LOWEST_VENV)
	@lowest=$$($(BIN)/python -m tests.packaging.lowest) && \
	  $(LOWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    asyncssh hypothesis pyte pytest pytest-xdist hatchling build && \
	  $(LOWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $$lowest && \
	  $(LOWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@$(LOWEST_VENV)/bin/pytest -q -n $(WORKERS) --dist worksteal tests/cli tests/demo
	@$(LOWEST_VENV)/bin/aegis-provision demo --hosts $(HOSTS)

lint: ruff format-check types imports ## run the linters, the type checker and the import rules

ruff: $(READY) ## run the linter
	@$(BIN)/ruff check .

format-check: $(READY) ## tell whether the code is formatted
	@$(BIN)/ruff format --check .

types: $(READY) ## run the type checker
	@$(BIN)/mypy

imports: $(READY) ## check which package imports which
	@$(BIN)/lint-imports

docs: $(READY) ## write docs/commands.md anew from the commands' own help
	@text=$$($(BIN)/python -m tests.docs.reference) && printf "%s\n" "$$text" >docs/commands.md

golden: $(READY) ## write the expected outputs in tests/golden anew (then look at the difference)
	@GOLDEN=write $(BIN)/pytest -q -n $(WORKERS) tests/cli/test_golden.py tests/cli/test_broken_inventories.py tests/playbook/test_load.py

bench: $(READY) ## measure the promised speeds against bare paramiko, Ansible and pyinfra
	@$(BIN)/python -m benchmarks.run --environment $(BENCH_VENV) $(BENCH_ARGS)

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## remove the environments, the caches and what was built
	rm -rf .venv .bench-venv .lowest-venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made by the first Python on the PATH that is new enough and can make one.
$(BIN)/python:
	@bare=; for python in python3.11 python3 python3.14 python3.13 python3.12; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || { bare=$$python; continue; }; \
	  echo "Setting up $(VENV) with $$($$python --version), which takes a minute" >&2; \
	  exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$bare" ]; then \
	  echo "error: $$bare can't make environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
	  echo "error: no Python 3.11 or newer on the PATH (tried python3.11, python3, python3.12 to .14)" >&2; \
	fi; \
	exit 1

$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) '.[demo]'
	@touch $@

$(READY): $(DEMO_READY)
	@$(INSTALL) '.[test,lint]'
	@touch $@
