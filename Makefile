# `make help` lists the targets. Settings come from the environment: PORT=8090 make run
PYTHON := .venv/bin/python
PYTEST_ARGS ?= -n 2 --dist worksteal
TORTURE_LIMIT := 3h
.DEFAULT_GOAL := help
.PHONY: help setup run test torture load load-web bench bench-quick bench-ingest bench-roads bench-page screenshots lint format lock clean

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

# An environment of its own: whoever tests a service elsewhere need not install one. LOAD_ARGS: any option of docs/load-tests.md.
LOAD_PYTHON := var/load/venv/bin/python
LOCUST = $(LOAD_PYTHON) -m locust -f loadtests/locustfile.py $(if $(URL),--host $(URL)) $(if $(MIX),--mix $(MIX)) \
  $(if $(RATE),--rate $(RATE)) $(if $(SHAPE),--shape $(SHAPE)) $(if $(DURATION),--duration $(DURATION)) \
  $(if $(ADMIN_URL),--admin-url $(ADMIN_URL)) $(if $(PROCESSES),--processes $(PROCESSES)) $(LOAD_ARGS)

ifeq ($(MAKECMDGOALS)$(URL),load)
  $(error which service? make load URL=http://127.0.0.1:8080 RATE=200 MIX=drivers)
endif

load: var/load/venv/ready ## load a service: URL=http://… RATE=… MIX=drivers (SHAPE DURATION ADMIN_URL PROCESSES LOAD_ARGS)
	@exec $(LOCUST) --headless --only-summary --skip-log-setup

load-web: var/load/venv/ready ## the same from Locust's web page, on port 8089 of this machine
	@exec $(LOCUST) --web-host 127.0.0.1

var/load/venv/ready: loadtests/requirements.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "load: needs Python 3.11 or newer" >&2; exit 1; }
	@echo "load: installing Locust and what it needs into var/load/venv" >&2
	@python3 -m venv --clear var/load/venv
	@$(LOAD_PYTHON) -m pip install --disable-pip-version-check --no-input -q --only-binary :all: --require-hashes -r $<
	@touch $@

bench: ## S1-S4 and S7-S9 beside their peers, a million stations: 40 minutes (the first time longer; BENCH_ARGS="--steps S2")
	@deploy/setup.sh bench
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench full $(BENCH_ARGS)

bench-quick: ## S1-S4 beside their peers, 20,000 stations: 4 minutes
	@deploy/setup.sh bench
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench quick $(BENCH_ARGS)

bench-ingest: ## S5 and S6: 20,000 updates/s for 10 minutes, and how soon they are seen (QUICK=1: 20,000 stations, 3 minutes)
	@deploy/setup.sh bench
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench.ingest $(if $(QUICK),quick,full) $(BENCH_ARGS)

bench-roads: ## S10: drive times and routes beside Valhalla itself, and what they do to other requests: 10 minutes (QUICK=1: 2)
	@deploy/setup.sh bench
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench.roads $(if $(QUICK),quick,full) $(BENCH_ARGS)

bench-page: ## S11: the map page in headless Chromium: when stations are drawn, bytes, a pushed status on screen: 4 minutes (QUICK=1: 1)
	@deploy/setup.sh test
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench.page $(if $(QUICK),quick,full) $(BENCH_ARGS)

screenshots: ## pictures of the map page's main views, in var/screenshots (PICTURE_ARGS="--url http://…": of a service that runs)
	@deploy/setup.sh test
	@exec setpriv --pdeathsig TERM -- $(PYTHON) -m loadtests.bench.page.pictures $(PICTURE_ARGS)

lint: ## ruff and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

format: ## ruff's formatter
	$(PYTHON) -m ruff format .

lock: ## pin the dependencies of pyproject.toml anew, with hashes, into requirements.lock and loadtests/requirements.lock
	@$(PYTHON) -m pip install --disable-pip-version-check -q uv
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m uv pip compile pyproject.toml --extra dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade -q -o requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m uv pip compile --group load --constraints requirements.lock --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade -q -o loadtests/requirements.lock

clean: ## remove what was made here: .venv, var/ with all its data, caches
	@deploy/clean.sh
