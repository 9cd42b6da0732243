#!/bin/sh
# Removes what `make setup`, `make run` and `make test` made in this folder. Installed packages stay.
set -eu
cd "$(dirname "$0")/.."
# Under root, PostgreSQL's data may lie outside the project (mapsvc.engines.postgres_home); only mapsvc knows where.
if [ "$(id -u)" = 0 ] && [ -x .venv/bin/python ]; then
  outside=$(.venv/bin/python -c 'import pathlib, mapsvc.engines.postgres as p; print(p.postgres_home(pathlib.Path("var/postgres")))' \
    2>/dev/null || true)
fi
if [ -e var/up.lock ] && ! flock -n var/up.lock true; then
  echo "clean: a mapsvc runs on var/; stop it first" >&2
  exit 1
fi
case ${outside:-} in /var/lib/mapsvc/?*) rm -rf "$outside" ;; esac
rm -rf var .venv tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
find . -name __pycache__ -type d -prune -exec rm -rf {} +
