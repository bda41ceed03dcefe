# `make` alone lists the targets.
.PHONY: help environment demo test checks nightly bench bench-engine bench-ingest lock
.DEFAULT_GOAL := help

# One of two processes asks generated queries all the time, the other one for 55 of 100 parts of it.
SECONDS ?= 1800
SCALE ?= 1
ROWS ?= 1000000
SEED ?=
STARS ?= ../shared/data/stars/bigsky_mag11.parquet

help:
	@echo "make demo           start a cluster of 3 nodes, load Hipparcos, ask three questions, stay up (ONCE=1: then stop)"
	@echo "make demo BIG=1     also load the 981,852 stars of $(STARS)"
	@echo "make test           format, lint, types, import rules, tests"
	@echo "make nightly        long randomised checks for SECONDS=$(SECONDS) in two processes, SEED=n to repeat a run"
	@echo "make bench          benchmarks, as ratios to one plain PostgreSQL (FULL=1: and a load of 10,000,000 rows), then"
	@echo "                    of the engine on a synthetic survey (SCALE=0.02: smaller; TABLE=file.md: written there, too)"
	@echo "make bench-engine   those of the engine alone"
	@echo "make bench-ingest   those of loads alone, of ROWS=$(ROWS) rows of 65 columns (TABLE=file.md: written there, too)"
	@echo "make lock           write requirements.lock anew (needs uv)"

environment:
	@.bootstrap/environment

demo: environment
	@.venv/bin/qserv demo $(if $(ONCE),--once) $(if $(BIG),--big $(STARS))

checks: environment
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

test: checks
	.venv/bin/python tests

nightly: environment
	.venv/bin/python tests/nightly.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: environment
	.venv/bin/python tests/benchmarks $(if $(FULL),--full)
	@$(MAKE) --no-print-directory bench-ingest TABLE= $(if $(FULL),ROWS=10000000)
	@$(MAKE) --no-print-directory bench-engine

bench-engine: environment
	.venv/bin/python tests/benchmarks/engine --scale $(SCALE) $(if $(TABLE),--write $(TABLE))

bench-ingest: environment
	.venv/bin/python tests/benchmarks/ingest --rows $(ROWS) $(if $(TABLE),--write $(TABLE))

lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--upgrade --extra dev pyproject.toml --output-file requirements.lock
