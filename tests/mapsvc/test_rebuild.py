"""A rebuild: one instant of the database, then the pointer; and whatever interrupts it leaves nothing behind. R3."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cache.client import Argument, Cache, RedisError
from cache.keys import CONTROL, ShardKeys, seen_key
from geo.station import SHARDS, Status
from mapsvc import rebuild as module
from mapsvc.door import Door
from mapsvc.rebuild import rebuild
from mapsvc.relay import Relay
from sql import queries
from tests.mapsvc.live import (
    cache,
    database,
    differences,
    epoch_of,
    eventually,
    fill,
    key,
    located,
    report,
    running,
)


async def strangers(redis: Cache) -> set[bytes]:
    """Keys of other epochs than the current one."""
    epoch = await epoch_of(redis)
    own = tuple(ShardKeys(shard, epoch).pattern.removesuffix("*").encode() for shard in range(SHARDS))
    common = {CONTROL.encode(), *(seen_key(shard).encode() for shard in range(SHARDS))}
    return {name for name in await redis.call("KEYS", "*") if not name.startswith(own)} - common


async def test_it_holds_what_the_database_holds_and_drops_the_old_epoch(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 50)
        first = await rebuild(database_url, redis)
        assert await differences(database_url, redis) == []
        await Door(pool).remove([key(4), key(5)])
        hidden = located(6, updated_ms=1_800_000_000_000)
        hidden = msgspec.structs.replace(hidden, station=msgspec.structs.replace(hidden.station, publish=False))
        await Door(pool).put([hidden])
        await report(pool, 7, 0, Status.CHARGING, 1000)
        second = await rebuild(database_url, redis)
        assert second > first
        assert await epoch_of(redis) == second == await pool.fetchval(queries.EPOCH_GET)
        assert await differences(database_url, redis) == []
        assert await strangers(redis) == set()


async def test_what_is_committed_meanwhile_comes_through_the_outbox(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 100)

        async def write() -> None:
            for turn in range(200):
                await report(pool, turn % 100, 0, 1 + turn % 5, 1000 + turn)
                if turn % 20 == 0:
                    await Door(pool).put([located(turn % 100, updated_ms=1_800_000_000_000 + turn, lat=turn / 10)])

        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            writing = asyncio.create_task(write())
            while not writing.done():
                await rebuild(database_url, redis)
                await asyncio.sleep(0.1)
            await writing
            assert await differences(database_url, redis) == []


async def test_several_at_once_do_the_work_once(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 20)
        epoch = await pool.fetchval(queries.EPOCH_GET)
        done = await asyncio.gather(*(rebuild(database_url, redis, epoch) for _ in range(4)))
        assert len(set(done)) == 1
        assert done[0] > epoch
        assert await rebuild(database_url, redis, epoch) == done[0]  # found wanting long ago
        assert await differences(database_url, redis) == []


async def test_epochs_grow_though_the_database_forgot_them(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 5)
        first = await rebuild(database_url, redis)
        await pool.fetch("UPDATE cache_epoch SET epoch = 1")  # a backup from before
        await asyncio.sleep(1.1)  # a restore takes longer than a second
        assert await rebuild(database_url, redis) > first
        assert await strangers(redis) == set()


class Interrupted(Cache):
    """Fails, or lets itself be cancelled, after some batches of cells."""

    def __init__(self, url: str, batches: int, error: BaseException) -> None:
        super().__init__(url)
        self.batches, self.error = batches, error

    async def pipeline(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        self.batches -= 1
        if self.batches < 0:
            raise self.error
        return await super().pipeline(commands)


@pytest.mark.parametrize(
    "error", [RedisError("gone"), asyncio.CancelledError()], ids=["redis fails", "it is cancelled"]
)
@pytest.mark.parametrize("batches", [0, 30])
async def test_one_that_dies_leaves_the_old_epoch_and_the_next_one_cleans_up(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, batches: int
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)  # so that a next page is always on its way
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 100)
        before = await rebuild(database_url, redis)
        dying = Interrupted(redis_url, batches, error)
        with pytest.raises(type(error)):
            await rebuild(database_url, dying)
        await dying.close()
        assert await epoch_of(redis) == before == await pool.fetchval(queries.EPOCH_GET)
        assert await differences(database_url, redis) == []
        await asyncio.sleep(1.1)  # the next one has another number
        async with asyncio.timeout(20):  # its lock went with it
            assert await rebuild(database_url, redis) > before
        assert await differences(database_url, redis) == []
        assert await strangers(redis) == set()
