"""The pool of the running roles: no statement outlives its deadline, and no connection is trusted after a failure."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from mapsvc import database
from mapsvc.database import Database
from mapsvc.engines import PostgresEngine


async def test_a_statement_that_hangs_ends_at_its_deadline_and_its_connection_with_it(database_url: str) -> None:
    pool = await Database.open(database_url, 2, statement_s=0.5)
    try:
        began = time.monotonic()
        results = await asyncio.gather(
            *(pool.fetchval("SELECT 1 FROM pg_sleep(60)") for _ in range(5)), return_exceptions=True
        )
        assert time.monotonic() - began < 5  # those that waited for a connection, too
        assert all(isinstance(result, TimeoutError) for result in results)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


async def test_a_cancelled_statement_leaves_no_half_read_connection_behind(database_url: str) -> None:
    pool = await Database.open(database_url, 1)
    try:
        for number in range(20):
            task = asyncio.create_task(pool.fetchval("SELECT 'old' FROM pg_sleep(0.05)"))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.fetchval("SELECT $1::int", number) == number
    finally:
        pool.terminate()


async def test_a_server_that_comes_back_is_used_again_without_being_told(
    database_url: str, postgres_engine: PostgresEngine
) -> None:
    pool = await Database.open(database_url, 4)
    try:
        assert await pool.fetchval("SELECT 1") == 1
        await asyncio.to_thread(postgres_engine.kill)
        for _ in range(3):
            with pytest.raises(database.DOWN):
                await pool.fetchval("SELECT 1")
        await asyncio.to_thread(postgres_engine.start)
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        pool.terminate()


async def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_down(database_url: str) -> None:
    pool = await Database.open(database_url, 1)
    try:
        with pytest.raises(asyncpg.UndefinedTableError) as caught:
            await pool.fetch("SELECT * FROM nowhere")
        assert not isinstance(caught.value, database.DOWN)
        assert (await pool.fetchrow("SELECT 1 AS one"))["one"] == 1
    finally:
        pool.terminate()
