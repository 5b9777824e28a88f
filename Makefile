# Everything a developer runs. `make help` lists the targets.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# The first interpreter that is new enough; name your own with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help install run test test-quick check lint types fmt lock migrate revision clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

$(VENV)/made: # the virtual environment, made once
	@test -n "$(PYTHON)" || { echo "Satchel needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "This Python cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/made requirements/embedded.lock pyproject.toml
	@echo "Installing Satchel into $(VENV) ..."
	@$(PIP_INSTALL) -r requirements/embedded.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.lock
	@echo "Installing the development tools ..."
	@$(PIP_INSTALL) -r requirements/dev.lock
	@touch $@

install: $(VENV)/dev ## Make .venv with everything for development

run: $(VENV)/run ## Start PostgreSQL, migrate and serve (HOST, PORT)
	@exec $(BIN)/satchel serve --host $(HOST) --port $(PORT)

test: $(VENV)/dev ## Run every test, with branch coverage
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

test-quick: $(VENV)/dev ## Run the tests that need no servers, browsers or clients of their own
	@$(BIN)/python -m pytest -m 'not slow'

check: lint types ## Lint, types, import contracts, locks

lint: $(VENV)/dev ## Lint, format and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run make fmt" >&2; exit 1; }
	@$(BIN)/lint-imports --no-cache

types: $(VENV)/dev ## Type-check with mypy --strict
	@$(BIN)/mypy

fmt: $(VENV)/dev ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url
COMPILE = $(UV_COMPILE) pyproject.toml
lock: $(VENV)/made ## Make the hash-locked requirements anew
	@$(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --all-extras --group dev -o requirements/dev.lock
	@$(COMPILE) -c requirements/dev.lock -o requirements/production.lock
	@$(COMPILE) --extra tracing -c requirements/production.lock -o requirements/tracing.lock
	@$(UV_COMPILE) --group build -c requirements/dev.lock -o requirements/build.lock
	@$(COMPILE) --extra embedded --group build -c requirements/production.lock -o requirements/embedded.lock
	@$(COMPILE) --extra embedded --group bench -c requirements/embedded.lock -o requirements/bench.lock
	@$(UV_COMPILE) --group audit -o requirements/audit.lock
	@$(UV_COMPILE) tests/clients/requirements-sdk.in -o tests/clients/requirements-sdk.lock

migrate: $(VENV)/run ## Bring the database to the newest revision
	@$(BIN)/satchel migrate

revision: $(VENV)/dev ## Write a migration from the models (m="what changes")
	@$(BIN)/python -m app.cli revision "$(m)"

clean: ## Remove the virtual environment and caches (data stays)
	rm -rf $(VENV) tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* htmlcov

.PHONY: vendor-docs openapi bench bench-quick
openapi: $(VENV)/run ## Write docs/openapi.json
	@$(BIN)/satchel openapi > docs/openapi.json

$(VENV)/bench: $(VENV)/run requirements/bench.lock
	@echo "Installing the peers to measure ..."
	@$(PIP_INSTALL) -r requirements/bench.lock
	@touch $@

bench: $(VENV)/bench ## Measure Satchel beside its peers (half an hour; needs wrk)
	@$(BIN)/python -m benchmarks --command "make bench" --results benchmarks/results.json
	@$(BIN)/python -m benchmarks.chart

bench-quick: $(VENV)/bench ## The marks alone, in three minutes
	@$(BIN)/python -m benchmarks --quick --command "make bench-quick"

vendor-docs: ## Vendor the docs pages anew (SWAGGER_UI=x.y.z, REDOC=x.y.z for another version)
	@scripts/vendor_docs.sh

.PHONY: audit sbom
$(VENV)/audit/made: $(VENV)/made requirements/audit.lock
	@echo "Installing the tools that look at the locks ..." >&2
	@$(BIN)/python -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.lock
	@touch $@

audit: $(VENV)/audit/made ## Look for known vulnerabilities of all that is locked
	@$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/dev.lock \
		|| { echo "Vulnerable packages, or none was looked at: the advisories come from the Python package index itself; a mirror of its packages has none" >&2; exit 1; }

SBOM ?= dist/sbom.cdx.json
sbom: $(VENV)/audit/made ## Write what a production image holds as CycloneDX (SBOM=file)
	@mkdir -p $(dir $(SBOM))
	@$(VENV)/audit/bin/python -W ignore -m cyclonedx_py requirements --output-reproducible --short-PURLs \
		--pyproject pyproject.toml -o $(SBOM) requirements/production.lock
