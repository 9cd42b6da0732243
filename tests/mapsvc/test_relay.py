"""The relay carries what was committed, in order, whatever happens to Redis, to the database or to itself. R3, R4."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from cache.client import Cache, RedisError
from cache.codec import unpack_records, unpack_states
from cache.keys import CONTROL, ShardKeys
from cache.writer import ShardWriter, StatesBatch, apply_states
from geo.party_clocks import PartyClock
from geo.station import SHARDS, Status, shard_of
from mapsvc import outbox
from mapsvc import relay as module
from mapsvc.door import Door
from mapsvc.engines import PostgresEngine
from mapsvc.relay import Relay
from sql import queries
from tests.conftest import execute, url_of
from tests.e2e.stack import PARTY
from tests.mapsvc.live import (
    assert_gapless,
    cache,
    database,
    differences,
    epoch_of,
    eventually,
    fill,
    heads,
    key,
    located,
    log_of,
    report,
    running,
)


async def test_it_fills_an_empty_cache_and_carries_every_change_in_order(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 20)
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            assert relay.rebuilds == 1
            for turn in range(30):
                await report(pool, turn % 20, 0, 1 + turn % 5, 1000 + turn)
            await Door(pool).put([located(3, updated_ms=1_800_000_000_000, lat=10.0)])
            await Door(pool).remove([key(4)])
            committed = await heads(pool)
            await eventually(lambda: relay.heads == committed)
            for shard in range(SHARDS):
                assert_gapless(await log_of(redis, shard))
            assert await differences(database_url, redis) == []
            assert relay.rebuilds == 1
            await eventually(lambda: sum(relay.backlog.values()) == 0)


async def test_a_lost_notification_delays_a_row_by_a_beat_at_most(database_url: str, redis_url: str) -> None:
    class Deaf(Relay):
        def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
            pass

    async with database(database_url) as pool:
        await fill(pool, 1)
        async with running(Deaf(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            await report(pool, 0, 0, Status.CHARGING, 1000)
            committed = await heads(pool)
            assert await eventually(lambda: relay.heads == committed) < 2 * module.BEAT_S + 1


async def test_an_import_is_cut_into_batches_that_statuses_need_not_wait_for(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH_STATIONS", 5)
    async with database(database_url) as pool, cache(redis_url) as redis:
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            await fill(pool, 200)
            committed = await heads(pool)
            await eventually(lambda: relay.heads == committed)
        for shard in range(SHARDS):
            for first, last, fields in await log_of(redis, shard):
                stations = unpack_records(fields[b"t"]) if fields[b"t"] else []
                assert len(stations) <= 5
                assert last - first < 1000
        assert await differences(database_url, redis) == []


async def test_what_nobody_may_see_is_carried_as_a_number_only(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 3)
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            hidden = located(1, updated_ms=1_800_000_000_000)
            hidden = msgspec.structs.replace(hidden, station=msgspec.structs.replace(hidden.station, publish=False))
            await Door(pool).put([hidden])
            await report(pool, 1, 0, Status.CHARGING, 1000)
            committed = await heads(pool)
            await eventually(lambda: relay.heads == committed)
            _, _, fields = (await log_of(redis, shard_of(key(1))))[-1]
            assert len(unpack_states(fields[b"s"])) == 0
            assert await differences(database_url, redis) == []


async def test_an_outbox_that_no_longer_reaches_back_means_a_rebuild(database_url: str, redis_url: str) -> None:
    """A relay, or Redis, that was away for hours: the rows went with their partition. With newer rows, and without."""
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 10)
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
        for later in (True, False):
            await report(pool, 1, 0, Status.CHARGING if later else Status.BLOCKED, 2000 - later)
            await pool.fetch("DELETE FROM outbox")
            if later:
                await report(pool, 1, 1, Status.RESERVED, 1000)
            async with running(Relay(database_url, redis_url)) as relay:
                await eventually(lambda: relay.rebuilds == 1)
                assert await differences(database_url, redis) == []


async def test_a_database_restored_from_a_backup_is_followed_and_says_so(
    database_url: str, redis_url: str, postgres_engine: PostgresEngine
) -> None:
    """Redis is ahead of it then: what it holds beyond never happened."""
    name = database_url.rpartition("/")[2]
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 10)
        pool.terminate()
        execute(postgres_engine, f"CREATE DATABASE {name}_backup TEMPLATE {name} STRATEGY file_copy")
        backup_url = url_of(postgres_engine, f"{name}_backup")
        try:
            async with database(database_url) as pool, running(Relay(database_url, redis_url)) as relay:
                await eventually(lambda: len(relay.heads) == SHARDS)
                for i in range(10):
                    await report(pool, i, 0, Status.CHARGING, 1000)
                committed = await heads(pool)
                await eventually(lambda: relay.heads == committed)
            before = await epoch_of(redis)
            # The backup knows the epoch of the cache only if it was made since; here it does, to make it harder.
            async with database(backup_url) as backup:
                await backup.fetch(queries.EPOCH_SET, before)
                async with running(Relay(backup_url, redis_url)) as relay:
                    await eventually(lambda: relay.rebuilds == 1 and len(relay.heads) == SHARDS)
                    await report(backup, 0, 1, Status.BLOCKED, 500)
                    committed = await heads(backup)
                    await eventually(lambda: relay.heads == committed)
                    assert await differences(backup_url, redis) == []
                    epoch = await epoch_of(redis)
                    assert epoch > before
                    assert await redis.call("HGET", ShardKeys(0, epoch).head, "void") == b"1"
        finally:
            execute(postgres_engine, f"DROP DATABASE {name}_backup WITH (FORCE)")


async def test_a_second_relay_waits_and_takes_over_when_the_firsts_session_ends(
    database_url: str, redis_url: str
) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 10)
        async with running(Relay(database_url, redis_url)) as first:
            await eventually(lambda: len(first.heads) == SHARDS)
            async with running(Relay(database_url, redis_url)) as second:
                await asyncio.sleep(2.5)
                assert not second.active
                assert second.rebuilds == 0
                await pool.fetch(
                    "SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT pid FROM pg_locks"
                    " WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
                    " WHERE datname = current_database())) AS holders"
                )
                for turn in range(40):
                    await report(pool, turn % 10, 0, 1 + turn % 5, 1000 + turn)
                committed = await heads(pool)
                # Each shard has one of them, whichever was quicker; the first notices a little later that it has lost them.
                await eventually(
                    lambda: (
                        len(first.heads) + len(second.heads) == SHARDS and {**first.heads, **second.heads} == committed
                    )
                )
                assert await differences(database_url, redis) == []
                for shard in range(SHARDS):
                    assert_gapless(await log_of(redis, shard))


async def test_rules_and_heartbeats_of_parties_reach_redis_with_the_next_beat(
    database_url: str, redis_url: str
) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 1)
        async with running(Relay(database_url, redis_url)):

            async def told(clock: PartyClock) -> bool:
                packed = await redis.call("HGET", CONTROL, "parties")
                return packed is not None and msgspec.json.decode(packed, type=dict[str, PartyClock])[PARTY] == clock

            await eventually(lambda: told(PartyClock(900, 0)))
            await pool.fetch(queries.PARTY_PUT, PARTY, "operator", "", "ts", 5)
            await pool.fetch(queries.PARTY_HEARTBEAT, [PARTY], 7000)
            await eventually(lambda: told(PartyClock(5, 7000)))


async def test_a_cache_that_went_back_is_carried_forward_under_a_new_mark(database_url: str, redis_url: str) -> None:
    """By a promoted replica, say: the script refuses what does not follow its head, and the relay begins there."""
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 1)
        shard = shard_of(key(0))
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            keys = ShardKeys(shard, await epoch_of(redis))
            copies = [(name, await redis.call("DUMP", name)) for name in await redis.call("KEYS", keys.pattern)]
            mark = await redis.call("HGET", keys.head, "mark")
            await report(pool, 0, 0, Status.CHARGING, 1000)
            first = await heads(pool)
            await eventually(lambda: _head_is(redis, keys, first[shard]))
            await eventually(lambda: relay.heads[shard] == first[shard])
            pipe = redis.client.pipeline(transaction=True)
            pipe.execute_command("DEL", keys.log)
            for name, value in copies:
                pipe.execute_command("RESTORE", name, 0, value, "REPLACE")
            await pipe.execute()
            await report(pool, 0, 1, Status.BLOCKED, 1000)
            committed = await heads(pool)
            await eventually(lambda: _head_is(redis, keys, committed[shard]))
            assert await redis.call("HGET", keys.head, "mark") != mark
            assert await differences(database_url, redis) == []
            assert relay.rebuilds == 1


async def _head_is(redis: Cache, keys: ShardKeys, n: int) -> bool:
    return int(await redis.call("HGET", keys.head, "n") or -1) == n


async def test_a_shard_that_redis_refuses_waits_and_holds_up_no_other(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Cluster one node may be away, or full."""
    bad, good = shard_of(key(0)), shard_of(key(1))
    refused: list[int] = []

    async def refusing(cache: Cache, work: Sequence[tuple[ShardWriter, StatesBatch]]) -> list[int | Exception]:
        refused.extend(writer.keys.shard for writer, _ in work if writer.keys.shard == bad)
        reached = iter(await apply_states(cache, [(w, batch) for w, batch in work if w.keys.shard != bad]))
        return [RedisError("no") if writer.keys.shard == bad else next(reached) for writer, _ in work]

    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 2)
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            before = dict(relay.heads)
            monkeypatch.setattr(module, "apply_states", refusing)
            for turn in range(20):
                await report(pool, 0, 0, 1 + turn % 5, 1000 + turn)
                await report(pool, 1, 0, 1 + turn % 5, 1000 + turn)
            committed = await heads(pool)
            assert bad != good
            await eventually(lambda: relay.heads[good] == committed[good])
            await eventually(lambda: len(refused) >= 3)
            assert relay.heads[bad] == before[bad]
            monkeypatch.setattr(module, "apply_states", apply_states)
            await eventually(lambda: relay.heads == committed)
            assert relay.rebuilds == 1
            assert len(refused) < 30, "it is not asked again at once"
            assert await differences(database_url, redis) == []


async def test_two_that_both_believe_to_be_active_write_every_number_once(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is taken away from the two of them: only the script decides."""
    monkeypatch.setattr(queries, "RELAY_LOCK", "SELECT $1::integer >= 0 AS locked")
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 10)
        async with running(Relay(database_url, redis_url)) as first, running(Relay(database_url, redis_url)) as second:
            await eventually(lambda: len(first.heads) == len(second.heads) == SHARDS)
            for turn in range(300):
                await report(pool, turn % 10, turn % 2, 1 + turn % 5, 1000 + turn)
            committed = await heads(pool)
            await eventually(lambda: _all_heads_are(redis, committed))
            for shard in range(SHARDS):
                assert_gapless(await log_of(redis, shard))
            assert await differences(database_url, redis) == []


async def _all_heads_are(redis: Cache, committed: dict[int, int]) -> bool:
    epoch = await epoch_of(redis)
    return all([await _head_is(redis, ShardKeys(shard, epoch), n) for shard, n in committed.items()])


async def test_a_writer_of_an_old_epoch_writes_nothing_after_a_rebuild(database_url: str, redis_url: str) -> None:
    async with database(database_url) as pool, cache(redis_url) as redis:
        await fill(pool, 3)
        async with running(Relay(database_url, redis_url)) as relay:
            await eventually(lambda: len(relay.heads) == SHARDS)
            old = ShardWriter(redis, 0, await epoch_of(redis))
            assert await old.head() is not None
            await redis.call("FLUSHALL")
            await eventually(lambda: relay.rebuilds == 2)
            assert await old.beat(0, 1) == -1
            assert await redis.call("KEYS", old.keys.pattern) == []
