"""Migrations: repeatable, safe side by side, clear when PostGIS is missing, and in agreement with sql/tables.py."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection as SqlConnection
from sqlalchemy.ext.asyncio import create_async_engine

from geo.station import Status, shard_of
from mapsvc.engines import PostgresEngine
from sql import migrate, queries, tables
from tests.conftest import execute, url_of

VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"
_numbers = itertools.count(1)


@pytest.fixture
def empty_url(postgres_engine: PostgresEngine) -> Iterator[str]:
    postgres_engine.start()
    name = f"empty_{next(_numbers)}"
    execute(postgres_engine, f"CREATE DATABASE {name}")
    yield url_of(postgres_engine, name)
    execute(postgres_engine, f"DROP DATABASE {name} WITH (FORCE)")


def test_an_empty_database_is_migrated_once(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == migrate.latest()
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == migrate.latest()


def test_two_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        for outcome in [threads.submit(migrate.upgrade, empty_url) for _ in range(3)]:
            outcome.result(timeout=60)
    assert migrate.current(empty_url) == migrate.latest()


async def test_a_caller_with_a_running_loop_may_migrate_too(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == migrate.latest()


def test_a_user_who_may_not_create_postgis_is_told_what_to_do(postgres_engine: PostgresEngine, empty_url: str) -> None:
    database = empty_url.rpartition("/")[2]
    execute(postgres_engine, "CREATE ROLE modest LOGIN PASSWORD 'modest'")
    try:
        host = empty_url.rpartition("@")[2]
        with pytest.raises(
            migrate.MigrationError, match=f"as a superuser run CREATE EXTENSION postgis in '{database}'"
        ):
            migrate.upgrade(f"postgresql://modest:modest@{host}")
    finally:
        execute(postgres_engine, "DROP ROLE modest")


def test_a_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    async def in_the_way(statement: str) -> None:
        connection = await asyncpg.connect(empty_url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(in_the_way("CREATE TABLE outbox (x integer)"))
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(empty_url)
    assert migrate.current(empty_url) is None
    asyncio.run(in_the_way("DROP TABLE outbox"))
    migrate.upgrade(empty_url)


async def test_the_metadata_and_a_migrated_database_agree(database_url: str) -> None:
    def ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or name in tables.metadata.tables

    def differences(connection: SqlConnection) -> list[Any]:
        options = {"include_name": ours, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        found: list[Any] = compare_metadata(context, tables.metadata)
        return found

    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_fresh_store_has_sixteen_shards_and_the_first_epoch(connection: asyncpg.Connection) -> None:
    heads = await connection.fetch(queries.SHARD_HEADS)
    assert [(row["shard"], row["n"]) for row in heads] == [(shard, 0) for shard in range(16)]
    assert await connection.fetchval(queries.EPOCH_GET) == 1
    assert await connection.fetchval(queries.EPOCH_SET, 2) == 2
    assert await connection.fetchval(queries.EPOCH_SET, 2) is None


async def test_statuses_have_the_names_that_python_knows(connection: asyncpg.Connection) -> None:
    for status in Status:
        assert await connection.fetchval("SELECT status_name($1)", status) == status.name
    assert await connection.fetchval("SELECT status_name($1)", len(Status)) is None


def test_sql_and_python_put_a_key_into_the_same_shard(database_url: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database_url))

        @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
        def same(key: str) -> None:
            assert runner.run(connection.fetchval("SELECT shard_of_key($1)", key)) == shard_of(key)

        try:
            same()
        finally:
            runner.run(connection.close())


async def test_the_readable_views_read(connection: asyncpg.Connection) -> None:
    for view in ("station_readable", "evse_readable", "status_history_readable", "outbox_readable"):
        assert await connection.fetch(f"SELECT * FROM {view}") == []
    row = await connection.fetchrow("SELECT at_ms(1500) AT TIME ZONE 'UTC' = '1970-01-01 00:00:01.5' AS equal")
    assert row is not None
    assert row["equal"]
