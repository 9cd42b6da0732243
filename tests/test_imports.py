"""Imports go one way: geo <- cache <- mapsvc; sql is imported by mapsvc alone; loadtests may import geo."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "geo": {"geo"},
    "cache": {"cache", "geo"},
    "sql": {"sql", "geo"},
    "mapsvc": {"mapsvc", "cache", "geo", "sql"},
    "loadtests": {"loadtests", "geo"},
}
OURS = frozenset(MAY_IMPORT) | {"tests"}
NOT_IN_GEO = {"asyncio", "socket", "os", "pathlib", "aiohttp", "redis", "asyncpg", "sqlalchemy", "requests", "logging"}
RUN_BY_THEIR_TOOL = {"sql/migrations"}  # Alembic executes these with a context of its own


def modules() -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if not any(str(path.relative_to(ROOT)).startswith(f"{folder}/") for folder in RUN_BY_THEIR_TOOL)
        and "node_modules" not in path.parts
    )


def imports(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def packages_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    files = [path for path in modules() if path.parts[0] == package]
    assert files, f"{package}/ is empty: this test would pass whatever was written"
    wrong = {f"{path} imports {name}" for path in files for name in packages_of(path) & OURS - MAY_IMPORT[package]}
    assert not wrong


def test_geo_does_no_input_or_output() -> None:
    wrong = {f"{path} imports {name}" for path in modules() if path.parts[0] == "geo" for name in packages_of(path)}
    assert not {text for text in wrong if text.rsplit(" ", 1)[1] in NOT_IN_GEO}


def test_request_handlers_do_not_import_one_another() -> None:
    handlers = [path for path in modules() if path.parts[:2] == ("mapsvc", "handlers") and path.stem != "__init__"]
    names = {".".join(path.with_suffix("").parts) for path in handlers}
    assert not {f"{path} imports {name}" for path in handlers for name in set(imports(path)) & names}


@pytest.mark.parametrize("first", ["", "import locust"], ids=["the service", "the load tests"])
def test_every_module_imports_alone(first: str) -> None:
    """One interpreter for all: before each import, our own modules are forgotten, so none can lean on another's. One more for
    the load tests, as Locust wants to be the first of all."""
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules()]
    chosen = [name for name in names if not name.endswith("__main__") and name.startswith("loadtests") == bool(first)]
    program = f"""
{first}
import importlib, sys
for name in {chosen!r}:
    for loaded in [m for m in sys.modules if m.split(".")[0] in {sorted(OURS)!r}]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_few_modules_of_the_load_tests_import_locust() -> None:
    """It patches Python's standard library, so whatever does without it can be tested like anything else."""
    found = {path.stem for path in modules() if path.parts[0] == "loadtests" and "locust" in packages_of(path)}
    assert found == {"locust_run", "locust_stats", "locust_users", "locustfile"}


@pytest.mark.parametrize(
    "module", ["up", "serve", "relay", "ingest.command", "simulate", "replay.command", "importers.command"]
)
def test_only_api_workers_load_the_compiler(module: str) -> None:
    """It is 60 MB and half a second to each process; the parent of the workers needs neither it nor what they serve."""
    script = f"import sys, mapsvc.{module}; print('numba' in sys.modules, 'mapsvc.app' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "False False\n"


def test_names_that_say_nothing_are_not_used() -> None:
    bad = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [path for path in modules() if bad & {part.removesuffix(".py") for part in path.parts}]


def test_load_tests_import_only_what_their_own_environment_has() -> None:
    """`make load` installs loadtests/requirements.lock and nothing of the service."""
    script = (
        "import sys, loadtests.locust_run, loadtests.mixes, loadtests.report, loadtests.controller\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('loadtests', 'geo')))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(*name.split(".")).with_suffix(".py") for name in told.stdout.split()]
    needed = {name.partition(".")[0] for path in files if (ROOT / path).exists() for name in imports(path)}
    needed -= OURS | sys.stdlib_module_names
    assert {"locust", "numpy"} <= needed
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "loadtests/requirements.lock").read_text(), re.MULTILINE))
    assert needed <= {package for name in locked for package in packages_in(name)}


def packages_in(name: str) -> set[str]:
    """What a distribution brings, if it is installed here. (packages_distributions() reads about all of them: seconds.)"""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:  # for another platform
        return set()
    return {file.parts[0].partition(".")[0] for file in files}
