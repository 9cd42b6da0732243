"""Bringing a database to the current schema: `upgrade(url)`, safe to call at every start and from many processes.

Alembic runs over asyncpg, so that the project needs one PostgreSQL driver only. All of an upgrade is one transaction
under one advisory lock: a process that comes second waits, then finds nothing left to do; a failure leaves nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 0x6D617073  # advisory lock of migrations ("maps")
CONNECT_TIMEOUT_S = 30.0

T = TypeVar("T")


class MigrationError(RuntimeError):
    """The database cannot be brought to the current schema; the message is for the person who runs it."""


def upgrade(url: str) -> None:
    """Bring the database at `url` (postgresql://…) to the newest revision. Raises MigrationError."""

    def work(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        config = _config()
        config.attributes["connection"] = connection
        if MigrationContext.configure(connection).get_current_revision() != latest():
            command.upgrade(config, "head")

    _run(_with_connection(url, work, prepare=_ensure_postgis))


def current(url: str) -> str | None:
    """The revision of the database at `url`; None: never migrated."""
    return _run(_with_connection(url, lambda connection: MigrationContext.configure(connection).get_current_revision()))


def latest() -> str:
    """The newest revision that this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _ensure_postgis(connection: asyncpg.Connection) -> None:
    try:
        # Two sessions creating it at once would collide in the catalogue, so this, too, waits for the lock.
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            await connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError) as error:
        raise MigrationError(
            "PostGIS is not installed on the database server: install its package there "
            "(Debian, Ubuntu: apt install postgresql-postgis) and start again"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        name = await connection.fetchval("SELECT current_database()")
        raise MigrationError(
            f"the database {name!r} lacks the extension postgis and this user may not create it: "
            f"as a superuser run CREATE EXTENSION postgis in {name!r}, then start again"
        ) from error


async def _with_connection(
    url: str,
    work: Callable[[Connection], T],
    prepare: Callable[[asyncpg.Connection], Coroutine[Any, Any, None]] | None = None,
) -> T:
    # asyncpg reads the URL itself, so that it means here what it means everywhere else in the service.
    raw = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    try:
        if prepare is not None:
            await prepare(raw)

        async def connect() -> asyncpg.Connection:
            return raw

        engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await raw.close()


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, also for a caller whose thread already runs a loop: then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    results: list[T] = []
    failures: list[BaseException] = []

    def target() -> None:
        try:
            results.append(asyncio.run(coroutine))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target, name="migrate")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
