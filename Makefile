# `make` alone lists the targets.  Everything runs in .venv, which any of them makes if need be.

PY := .venv/bin/python
PACKAGES := protocol engine sandbox_child jobcell
STAMP := .venv/.installed
# Two workers for each processor, because tests with children wait for half of their time.
PARALLEL = $(PY) tests/support/parallel.py
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3

# Pytest would rewrite every test module again in each session.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-long test-pythons wheel test-process test-escape lint format types pyright imports check cov cov-report \
	bench bench-compare bench-load bench-tricks bench-attackers bench-targets bench-store bench-scaling bench-relay bench-network bench-warm bench-permissions bench-desk soak kills chaos memory fuzz fuzz-keep changelog docs clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Install into .venv, for development (quick if nothing has changed)

# The bytecode is written now and before the tests, because a confined child cannot write any: each would compile again.
$(STAMP): pyproject.toml
	@for python in $(PYTHON) $(PYTHONS); do \
		if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then found="$$python"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "make: no Python 3.11 or newer with ensurepip found; name one with PYTHON=..." >&2; \
		exit 1; \
	fi; \
	[ -x $(PY) ] || "$$found" -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
	$(PY) -m compileall -q $(PACKAGES)
	@touch $@

run: setup  ## Run the example: a clinic's export, sorted, converted and reported
	.venv/bin/jobcell run examples/clinic/plan.json --state examples/clinic/state.json

test: setup  ## Everything that must pass (unit, property, process and escape tests), in parallel
	@$(PY) -m compileall -q $(PACKAGES)
	@$(if $(COVERAGE),$(PY) -m coverage erase)
	$(if $(COVERAGE),MEASURED="$(MEASURED)") $(PARALLEL) tests

test-fast: setup  ## Unit and property tests without the slow ones: seconds, for while you write
	$(PY) tests/support/quick.py

test-long: setup  ## Unit and property tests with 25 times as many examples of Hypothesis, for a night
	$(PARALLEL) --hypothesis-profile=long tests/unit tests/property

test-process: setup  ## Tests with real children: start, stop, die, time out
	$(PY) -m pytest -q tests/process

test-escape: setup  ## Hostile jobs; says which layers this machine cannot test
	$(PY) -m pytest -q -rs tests/escape

test-pythons: setup  ## A quick part of the tests on each other Python found, and with the lowest versions
	.ci/pythons

wheel: setup  ## Build the wheel, install it into an empty environment and use it there
	.ci/wheel

lint: setup  ## Ruff: rules and format; then the English of documents, docstrings, comments and errors
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@PYTHONPATH=tests/support $(PY) -m prose

format: setup  ## Put the code into its format and mend what can be mended
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .

# An adaptor is a package of its own, checked from its own directory.
types: setup pyright  ## Mypy and pyright, both strict
	$(PY) -m mypy
	$(PY) -m mypy --strict examples/typed_manager.py
	@for package in adaptors/*/*/__init__.py; do package=$$(dirname $$package); \
		(cd $$package/.. && MYPYPATH=../http ../../$(PY) -m mypy --config-file ../../pyproject.toml -p $$(basename $$package)) \
		|| exit 1; \
	done

# Pyright needs node, so it is not a part of `setup`.
pyright: setup  ## Pyright, strict, for the public interface; skipped where it cannot be installed
	@$(PY) -c 'import pyright' 2>/dev/null \
		|| $(PY) -m pip install --quiet --disable-pip-version-check -e '.[pyright]' 2>/dev/null || true
	@export PYRIGHT_PYTHON_IGNORE_WARNINGS=1; \
	if $(PY) -m pyright --version >/dev/null 2>&1; \
	then echo "$(PY) -m pyright"; $(PY) -m pyright --pythonpath $(PY); \
	else echo "pyright: skipped, it cannot be installed here (it needs an index and node)"; fi

imports: setup  ## Compare all imports with the table in CONTRIBUTING.md
	.venv/bin/lint-imports
	@for project in adaptors/*/pyproject.toml; do (cd $$(dirname $$project) && ../../.venv/bin/lint-imports) || exit 1; done

check: lint types imports test  ## All of lint, types, imports and test

# The files that are measured, also by `make test COVERAGE=1`.
MEASURED = tests/unit tests/property tests/process/server/test_api.py tests/process/telemetry/test_spans.py \
	tests/process/telemetry/test_stores.py

cov: setup  ## Branch coverage of what runs in this process; its floor is in pyproject.toml
	@$(PY) -m coverage erase
	MEASURED="$(MEASURED)" $(PARALLEL) --hypothesis-profile=fast $(MEASURED)
	@$(MAKE) --no-print-directory cov-report

cov-report: setup  ## Report what `make test COVERAGE=1` has measured, and compare it with the floor
	@$(PY) -m coverage combine --quiet
	$(PY) -m coverage report --skip-covered

bench: setup  ## Measure our start modes, the floors and the peers, side by side
	$(PY) -m benchmarks --peers

bench-targets: setup  ## What must be reached: each ratio, and whether it is
	$(PY) -m benchmarks.targets --long

bench-store: setup  ## What a durable run costs beside the bare engine and bare DBOS
	PYTHONPATH=tests/support $(PY) -m benchmarks.bench_store

bench-scaling: setup  ## What a run and a waiting worker cost PostgreSQL: the figures of docs/scaling.md
	PYTHONPATH=tests/support $(PY) -m benchmarks.bench_scaling

bench-warm: setup  ## A run with a real library, cold and warm, beside W1 and a plain import (needs an index)
	$(PY) -m benchmarks.bench_warm

bench-permissions: setup  ## A trivial run with each set of permissions, beside W1
	$(PY) -m benchmarks.bench_permissions

bench-relay: setup  ## The relay beside a direct connection: throughput, one more connection, memory
	PYTHONPATH=tests/support $(PY) -m benchmarks.bench_relay

bench-network: setup  ## The network of whole runs: one more run, many connections, throughput of a job
	PYTHONPATH=tests/support $(PY) -m benchmarks.bench_network

bench-desk: setup  ## The pages and tests of an author in a real browser, beside their goals (needs Chromium)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[cli,dev,browser]'
	PYTHONPATH=tests/support $(PY) -m benchmarks.bench_desk

bench-load: setup  ## Many lines, steps, runs and bytes: the cost of twice as many
	$(PY) -m benchmarks.bench_load --long

bench-tricks: setup  ## What each shortcut gains alone: the table of ADR 0110
	$(PY) -m benchmarks.tricks

bench-attackers: setup  ## Honest runs beside each attacker: what docs/THREAT_MODEL.md promises
	$(PY) -m benchmarks.bench_attackers

bench-compare: setup  ## Which figures have moved since BASE=revision
	$(PY) -m benchmarks.compare $(or $(BASE),$(error say which revision: make bench-compare BASE=...))

soak: setup  ## Two thousand runs with random deaths: nothing grows, nothing is left
	$(PY) -m benchmarks.soak

kills: setup  ## 200 managers and 100 commands die of SIGKILL at random moments: no run is lost, none is doubled
	$(PY) -m benchmarks.kills

chaos: setup  ## Workers, stores, children and clients die: each run ends once (DRILLS=..., SEED=...)
	PYTHONPATH=tests/support $(PY) -m benchmarks.chaos $(DRILLS) $(if $(SEED),--seed $(SEED))

memory: setup  ## Two thousand runs with large states: the manager's memory stays what it was
	$(PY) -m benchmarks.memory

# Atheris has no wheel for some machines; the fuzzer then says so, and mutates without coverage.
fuzz: setup  ## Fuzz each border for SECONDS=60, or one of them: TARGET=frames
	@$(PY) -c 'import atheris' 2>/dev/null \
		|| $(PY) -m pip install --quiet --disable-pip-version-check -e '.[fuzz]' || true
	PYTHONPATH=tests/support $(PY) -m fuzzing $(TARGET) --seconds $(or $(SECONDS),60)

fuzz-keep: setup  ## Add to tests/fuzz/corpus what `make fuzz` has found that reaches new code
	PYTHONPATH=tests/support $(PY) -m fuzzing $(TARGET) --keep

changelog: setup  ## Show the section that the fragments in changelog.d would become
	@.venv/bin/towncrier build --draft

# The site needs packages of its own, so they are not a part of `setup`.
docs: setup  ## Build the documentation site into build/site; a warning is an error
	@$(PY) -c 'import material, mkdocstrings' 2>/dev/null \
		|| $(PY) -m pip install --quiet --disable-pip-version-check -e '.[docs]' 2>/dev/null || true
	@if $(PY) -c 'import material, mkdocstrings' 2>/dev/null; \
	then NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict && echo "docs: build/site/index.html"; \
	else echo "docs: skipped, the packages of the extra docs cannot be installed here"; fi

clean:  ## Remove all that was made, .venv included
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .*_cache .hypothesis .fuzz
	find $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
