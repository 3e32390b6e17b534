# `make demo` and `make test` are all the set-up there is; `make help` lists the rest.

VENV ?= .venv
BENCH_VENV ?= .bench-venv
LOWEST_VENV ?= .lowest-venv
NEWEST_VENV ?= .newest-venv
# Two more than cores: tests wait for hosts, too.
WORKERS ?= 4
HOSTS ?= 8
# The environment is made by the first of these that is new enough and can make one.
PYTHONS ?= python3.11 python3 python3.14 python3.13 python3.12

BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.ready-demo
TEST_READY := $(VENV)/.ready-test
READY := $(VENV)/.ready
PIP := -m pip --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP) install --quiet -c constraints.txt -e

# What needs nothing but Python: no sshd, no root, no browser.
UNIT := tests/aegis tests/diagnosis tests/documents tests/files tests/history tests/importing tests/inventory \
  tests/planning tests/playbook tests/policy tests/providers tests/report tests/rollout/test_events.py \
  tests/rollout/test_health_gate.py tests/rollout/test_idle_gate.py tests/rollout/test_session_steps.py tests/rollout/test_aegis_session_client.py tests/rollout/test_run_state.py \
  tests/rollout/test_host_job.py tests/rollout/test_provider_probe.py tests/workers/test_portable_route.py \
  tests/workers/test_scheduler_address.py tests/workers/test_secret_pickle.py \
  tests/test_humanize.py tests/test_values.py tests/packaging/test_lowest.py tests/packaging/test_makefile.py tests/packaging/test_values.py
# What tells whether a version of a dependency serves: every command once (click, rich, paramiko),
# what they print to the letter, schemas and YAML, completion, a live screen, the demo's servers.
VERSIONS := tests/cli/test_golden.py tests/cli/test_completion.py tests/cli/test_run_pipeline_prompt.py \
  tests/cli/test_environment.py tests/cli/test_streams.py tests/demo tests/documents/test_yaml_reader.py \
  tests/inventory/test_schema.py tests/playbook/test_schema.py tests/report/test_progress_display.py \
  tests/report/test_plan_report.py tests/transport/ssh/test_authentication.py tests/transport/ssh/test_paramiko_internals.py

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test unit lowest newest lint ruff format-check types imports docs site golden bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## try everything on a small fleet of SSH hosts on loopback (HOSTS=8)
	@$(BIN)/aegis-provision demo --hosts $(HOSTS)

test: $(TEST_READY) ## run all tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

unit: $(TEST_READY) ## run the tests that need no server and no root: half a minute
	@$(BIN)/pytest -q -n $(WORKERS) --dist worksteal --hypothesis-profile unit \
	  -m "not slow and not root and not browser" $(UNIT) $(PYTEST_ARGS)

lowest: $(TEST_READY) ## try every command and the demo on the lowest versions that pyproject.toml allows
	@$(BIN)/python -m venv --clear $(LOWEST_VENV)
	@lowest=$$($(BIN)/python -m tests.packaging.lowest) && \
	  $(LOWEST_VENV)/bin/python $(PIP) install --quiet $$lowest \
	    cryptography $$(grep -E '^(build|hatchling|hypothesis|pyte|pytest|pytest-xdist|ruamel.yaml)==' constraints.txt) && \
	  $(LOWEST_VENV)/bin/python $(PIP) install --quiet --no-deps -e .
	@$(call try_versions,$(LOWEST_VENV))

newest: $(TEST_READY) ## the same on the newest versions, which a user gets today
	@$(BIN)/python -m venv --clear $(NEWEST_VENV)
	@$(NEWEST_VENV)/bin/python $(PIP) install --quiet --upgrade --upgrade-strategy eager -e '.[test]'
	@$(call try_versions,$(NEWEST_VENV))

define try_versions
$(1)/bin/python $(PIP) list --format freeze | \
  grep -iE '^(asyncssh|click|jsonschema|paramiko|pyyaml|rich)==' && \
$(1)/bin/pytest -q -n $(WORKERS) --dist worksteal $(VERSIONS) && \
$(1)/bin/aegis-provision demo --hosts $(HOSTS)
endef

lint: ruff format-check types imports ## run the linters, the type checker and the import rules

ruff: $(READY) ## run the linter
	@$(BIN)/ruff check .

format-check: $(READY) ## tell whether the code is formatted
	@$(BIN)/ruff format --check .

types: $(READY) ## run the type checker
	@$(BIN)/mypy

imports: $(READY) ## check which package imports which
	@$(BIN)/lint-imports

site: $(TEST_READY) ## build the documentation site into build/site
	@$(BIN)/mkdocs build --strict --quiet

docs: $(READY) ## write docs/commands.md and the man page anew from the commands' own help
	@text=$$($(BIN)/python -m tests.docs.reference) && printf "%s\n" "$$text" >docs/commands.md
	@text=$$($(BIN)/python -m tests.docs.man_page) && printf "%s\n" "$$text" >docs/aegis-provision.1

golden: $(READY) ## write the expected outputs in tests/golden anew (then look at the difference)
	@GOLDEN=write $(BIN)/pytest -q -n $(WORKERS) tests/cli/test_golden.py tests/cli/test_broken_inventories.py tests/playbook/test_load.py

bench: $(READY) ## measure the promised speeds beside other programs: an hour and a half at most
	@$(BIN)/python -m benchmarks.run --environment $(BENCH_VENV) $(BENCH_ARGS)

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## remove the environments, the caches and what was built
	rm -rf .venv .venv-3.* .bench-venv .lowest-venv .newest-venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@bare=; for python in $(PYTHONS); do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || { bare=$$python; continue; }; \
	  echo "Setting up $(VENV) with $$($$python --version), which takes a minute" >&2; \
	  exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$bare" ]; then \
	  echo "error: $$bare can't make environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
	  echo "error: no Python 3.11 or newer (tried: $(PYTHONS))" >&2; \
	fi; \
	exit 1

$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) '.[demo]'
	@touch $@

$(TEST_READY): $(DEMO_READY)
	@$(INSTALL) '.[test]'
	@touch $@

$(READY): $(TEST_READY)
	@$(INSTALL) '.[lint]'
	@touch $@
