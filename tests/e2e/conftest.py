"""Stacks of real processes, and their logs when a test fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from mapsvc.engines import PostgresEngine, RedisEngine
from mapsvc.generate_osm import write_roads
from mapsvc.generate_plan import REGION_STATIONS, plan
from mapsvc.roads.build import build
from mapsvc.roads.engine import Valhalla
from mapsvc.roads.valhalla_files import is_installed
from tests.conftest import execute, url_of
from tests.e2e.stack import Stack

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest_asyncio.fixture
async def stack(
    database_url: str, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Stack]:
    """Nothing runs yet and the database is empty."""
    async with Stack(database_url, redis_url, tmp_path) as stack:
        yield stack
        _show_logs(stack, request)


@pytest.fixture(scope="session")
def valhalla_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """On the roads of the generated country; empty where Valhalla is not installed."""
    if not is_installed():
        yield ""
        return
    folder = tmp_path_factory.mktemp("valhalla")
    write_roads(plan(REGION_STATIONS, seed=1), folder / "made_up.osm.pbf")
    engine = Valhalla(build([folder / "made_up.osm.pbf"], folder), folder, folder / "valhalla.log")
    asyncio.run(engine.start())
    yield engine.served.url
    asyncio.run(engine.stop())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stack(
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template_database: str,
    valhalla_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Stack]:
    """One running service with 40 stations, and roads elsewhere, for all tests of a module that break nothing."""
    postgres_engine.start()
    redis_engine.start()
    with redis_engine.client() as client:
        client.flushall()
    name = f"shared_{request.module.__name__.rpartition('.')[2]}"
    execute(postgres_engine, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    folder = tmp_path_factory.mktemp("stack")
    url = url_of(postgres_engine, name)
    async with Stack(url, redis_engine.url, folder, valhalla_url=valhalla_url) as stack:
        await stack.fill(40)
        await stack.start("ingest", "relay", "serve")
        yield stack
        _show_logs(stack, request)
        assert stack.complaints() == []
    execute(postgres_engine, f"DROP DATABASE {name} WITH (FORCE)")


def _show_logs(stack: Stack, request: pytest.FixtureRequest) -> None:
    if any(item.stash.get(FAILED, False) for item in request.session.items if item.path == request.path):
        stack.show_logs()
