# `make help` lists the targets. Settings come from the environment: PORT=8090 make run
PYTHON := .venv/bin/python
PYTEST_ARGS ?= -n 2 --dist worksteal
TORTURE_LIMIT := 3h
.DEFAULT_GOAL := help
.PHONY: help setup run test torture lint format lock clean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## install what `make run` needs: apt packages, .venv (quick when done)
	@deploy/setup.sh run

# If make itself is killed, the service ends too.
run: setup ## everything one machine needs; Ctrl-C ends it; data stays in var/
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m mapsvc up

test: ## set up, lint, type-check, run every test (PYTEST_ARGS="-k nearby" for some)
	@deploy/setup.sh test
	@$(MAKE) --no-print-directory lint
	$(PYTHON) -m pytest $(PYTEST_ARGS)

TORTURED := tests/sql/test_order_property.py tests/cache/test_replica.py tests/geo tests/mapsvc/test_tiles.py tests/e2e
torture: ## the promises R1-R11 in their long versions: kills, fuzzing, restarts, tricklers (TORTURE_ARGS="-k redis" for some)
	@deploy/setup.sh test
	@echo "one to two hours on a quiet 2-core machine; stops by itself after $(TORTURE_LIMIT)"
	TORTURE=1 timeout --kill-after=60 $(TORTURE_LIMIT) $(PYTHON) -m pytest $(PYTEST_ARGS) -ra --durations=15 $(TORTURED) $(TORTURE_ARGS)

lint: ## ruff and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

format: ## ruff's formatter
	$(PYTHON) -m ruff format .

lock: ## pin the dependencies of pyproject.toml anew, with hashes, into requirements.lock
	@$(PYTHON) -m pip install --disable-pip-version-check -q uv
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m uv pip compile pyproject.toml --extra dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade -q -o requirements.lock

clean: ## remove what was made here: .venv, var/ with all its data, caches
	@deploy/clean.sh
