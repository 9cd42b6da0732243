"""Stacks of real processes, and their logs when a test fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from mapsvc.engines import PostgresEngine, RedisEngine
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stack(
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Stack]:
    """One running service with 40 stations for all tests of a module that break nothing."""
    postgres_engine.start()
    redis_engine.start()
    with redis_engine.client() as client:
        client.flushall()
    name = f"shared_{request.module.__name__.rpartition('.')[2]}"
    execute(postgres_engine, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    async with Stack(url_of(postgres_engine, name), redis_engine.url, tmp_path_factory.mktemp("stack")) as stack:
        await stack.fill(40)
        await stack.start("ingest", "relay", "serve")
        yield stack
        _show_logs(stack, request)
        assert stack.complaints() == []
    execute(postgres_engine, f"DROP DATABASE {name} WITH (FORCE)")


def _show_logs(stack: Stack, request: pytest.FixtureRequest) -> None:
    if any(item.stash.get(FAILED, False) for item in request.session.items if item.path == request.path):
        stack.show_logs()
