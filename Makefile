# Everything a developer runs. `make help` lists the targets.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# The first interpreter that is new enough; name your own with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
INSTALL = $(BIN)/python -m scripts.install

.DEFAULT_GOAL := help
.PHONY: help install run test test-quick test-serializable test-poolers test-sdks test-cluster check lint types fmt migrate revision clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

$(VENV)/made: # the virtual environment, made once
	@scripts/make_venv.sh "$(PYTHON)" $(VENV)

# A Python that is named on the command line is looked at each time: it might not be the one there.
ifeq ($(origin PYTHON),command line)
NAMED = $(if $(PYTHON), PYTHON=$(PYTHON))
$(VENV)/made: | named-python
.PHONY: named-python
named-python:
	@test ! -e $(VENV)/made || scripts/make_venv.sh "$(PYTHON)" $(VENV)
endif

$(VENV)/run: $(VENV)/made requirements/embedded.lock requirements/installer.lock pyproject.toml
	@echo "Installing Satchel and a PostgreSQL of its own into $(VENV) ..."
	@$(INSTALL) requirements/embedded.lock --project
	@touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.lock
	@echo "Installing the development tools ..."
	@$(INSTALL) requirements/dev.lock
	@touch $@

install: $(VENV)/dev ## Make .venv with everything for development

run: $(VENV)/run ## Start PostgreSQL, migrate and serve (HOST, PORT)
	@exec $(BIN)/satchel serve --host $(HOST) --port $(PORT)

# In a folder without .env, and without the variables that name databases: neither leads to others.
DATABASES = DATABASE DEVELOPMENT_DATABASE TEST_DATABASE STAGING_DATABASE PRODUCTION_DATABASE MIGRATION_DATABASE
DEMO = CONFIG_MODE= EMBEDDED_DATA_DIR=. $(foreach each,$(DATABASES),$(each)_URL= $(each)_URL_FILE=)
.PHONY: demo
demo: $(VENV)/run ## Serve demo data from a database of its own, in .data/demo (HOST, PORT)
	@mkdir -p .data/demo
	@bin=$$(cd $(BIN) && pwd) && cd .data/demo && export $(DEMO) && \
		"$$bin/satchel" demo --if-empty && exec "$$bin/satchel" serve --host $(HOST) --port $(PORT)

# Several processes, each with a PostgreSQL of its own. They take whole files, in order: those that
# take longest come early.
PYTEST = -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
# From Python 3.14 on, coverage counts branches by sys.monitoring, which costs a fraction.
COVERAGE = $(shell $(BIN)/python -c 'import sys; print("COVERAGE_CONCURRENCY=thread" * (sys.version_info >= (3, 14)))')

test: $(VENV)/dev ## Run every test but those of SDKs and clusters, with branch coverage
	@$(BIN)/python -m coverage erase
	@$(COVERAGE) $(BIN)/python -m coverage run $(PYTEST) -m 'not sdks and not cluster'
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

test-quick: $(VENV)/dev ## Run the tests that need no servers, browsers or clients of their own
	@$(BIN)/python $(PYTEST) -m 'not slow'

# The contract, where transactions are serializable unless they name another isolation.
STRICT = tests/test_concurrency.py tests/test_transactions.py tests/test_durability.py tests/postgres tests/resources \
	tests/accounts tests/items tests/links tests/auth tests/cli tests/demo/test_filling.py tests/api/imports/test_uploads.py \
	$(filter-out tests/api/test_openapi% tests/api/test_doc% tests/api/test_sdk%,$(wildcard tests/api/test_*.py))
AT_ONCE = tests/test_changes_at_once.py tests/test_histories.py tests/links/test_router.py
test-serializable: $(VENV)/dev ## Run the tests of the contract on a serializable database
	@TEST_ISOLATION=serializable $(BIN)/python $(PYTEST) -m 'not slow' $(STRICT)
	@TEST_ISOLATION=serializable $(BIN)/python $(PYTEST) -m slow $(AT_ONCE)

# Those whose requests reach a database, with PgBouncer between.
POOLED = tests/api tests/resources tests/links tests/accounts/test_router.py tests/accounts/test_batches.py \
	tests/items/test_router.py tests/items/test_batches.py tests/test_concurrency.py tests/test_durability.py \
	tests/test_transactions.py --ignore=tests/api/imports/test_records.py
test-poolers: $(VENV)/dev ## Run the tests of the contract through PgBouncer
	@TEST_POOLER=pgbouncer $(BIN)/python $(PYTEST) -m 'not slow' $(POOLED)

test-sdks: $(VENV)/dev ## Generate SDKs in eight languages, compile and use them
	@$(BIN)/python -m pytest tests/sdks

test-cluster: $(VENV)/dev ## Fail over and roll over a cluster under load (Debian's patroni, etcd, haproxy, pgbouncer)
	@$(BIN)/python -m pytest tests/cluster

check: lint types locks ## All that takes no tests: lint, types and locks

lint: $(VENV)/dev ## Lint, format, import contracts, declared dependencies
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check --quiet . || { echo "Run make fmt" >&2; exit 1; }
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m deptry app alembic scripts
	@$(BIN)/python -m deptry tests benchmarks --ignore DEP002,DEP004 # they may import what is for development

types: $(VENV)/dev ## Type-check with mypy --strict
	@$(BIN)/mypy

fmt: $(VENV)/dev ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

.PHONY: locks lock upgrade
locks: $(VENV)/made ## Compare the locks with pyproject.toml and the package index
	@$(BIN)/python -m scripts.locks --check

lock: $(VENV)/made ## Write the locks from pyproject.toml, in the versions they have
	@$(BIN)/python -m scripts.locks

upgrade: $(VENV)/made ## Write the locks in the newest versions
	@$(BIN)/python -m scripts.locks --upgrade

migrate: $(VENV)/run ## Bring the database to the newest revision
	@$(BIN)/satchel migrate

revision: $(VENV)/dev ## Write a migration from the models (m="what changes")
	@$(BIN)/python -m app.cli.commands revision "$(m)"

clean: ## Remove the virtual environment and caches (data stays)
	rm -rf $(VENV) benchmarks/contestants/*/node_modules tests/clients/node_modules tests/sdks/node_modules .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* htmlcov

.PHONY: vendor-docs openapi settings bench bench-quick
openapi: $(VENV)/run ## Write docs/openapi.json and the Postman collection
	@$(BIN)/satchel openapi > docs/openapi.json
	@$(BIN)/python -m scripts.postman

settings: $(VENV)/run ## Write .env.example and docs/settings.md
	@$(BIN)/python -m scripts.settings

$(VENV)/bench: $(VENV)/run requirements/bench.lock
	@echo "Installing the peers to measure ..."
	@$(INSTALL) requirements/bench.lock
	@touch $@

bench: $(VENV)/bench ## Measure Satchel beside its peers (an hour; needs wrk; published: PYTHON=/usr/bin/python3)
	@$(BIN)/python -m benchmarks --command "make bench$(NAMED)" --results benchmarks/results.json
	@$(BIN)/python -m benchmarks.chart
	@$(BIN)/python -m benchmarks.scale

bench-quick: $(VENV)/bench ## The marks alone, in six minutes
	@$(BIN)/python -m benchmarks --quick --command "make bench-quick$(NAMED)"

vendor-docs: ## Vendor the docs pages anew (SWAGGER_UI=x.y.z, REDOC=x.y.z for another version)
	@scripts/vendor_docs.sh

.PHONY: audit sbom
$(VENV)/audit/made: $(VENV)/made requirements/audit.lock
	@echo "Installing the tools that look at the locks ..." >&2
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/audit
	@$(INSTALL) --python $(VENV)/audit/bin/python requirements/audit.lock
	@touch $@

audit: $(VENV)/audit/made ## Look for known vulnerabilities of all that is locked
	@$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/dev.lock \
		|| { echo "Vulnerable packages, or none was looked at: the advisories come from the Python package index itself; a mirror of its packages has none" >&2; exit 1; }

SBOM ?= dist/sbom.cdx.json
sbom: $(VENV)/audit/made ## Write what a production image holds as CycloneDX (SBOM=file)
	@mkdir -p $(dir $(SBOM))
	@$(VENV)/audit/bin/python -W ignore -m cyclonedx_py requirements --output-reproducible --short-PURLs \
		--pyproject pyproject.toml -o $(SBOM) requirements/production.lock
