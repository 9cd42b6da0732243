"""Promise R3: Redis killed, flushed, frozen or restarted empty: no 5xx, rebuilt by itself, and then Redis = PostGIS = every
replica."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from cache.client import Cache
from cache.keys import CONTROL, ShardKeys, seen_key
from geo.station import SHARDS
from mapsvc.engines import RedisEngine
from tests.e2e.compare import assert_all_equal, session_with
from tests.e2e.ledger import Ledger
from tests.e2e.readers import Readers
from tests.e2e.stack import TORTURE, Stack, eventually

ROUNDS = 10 if TORTURE else 1
BACK_S = 30.0


async def flushed(engine: RedisEngine) -> None:
    with engine.client() as client:
        client.flushall()


async def killed_and_started_empty(engine: RedisEngine) -> None:
    await asyncio.to_thread(engine.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(engine.start)


async def frozen(engine: RedisEngine) -> None:
    """Longer than every deadline of its clients."""
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    await asyncio.sleep(8)
    os.kill(engine.pid, signal.SIGCONT)


@pytest.mark.parametrize("misfortune", [flushed, killed_and_started_empty, frozen], ids=lambda f: f.__name__)
async def test_redis_may_go_at_any_time_and_reads_and_writes_go_on(
    stack: Stack, redis_engine: RedisEngine, misfortune: Callable[[RedisEngine], Awaitable[None]]
) -> None:
    evses = await stack.fill(60)
    await stack.start("ingest", "relay", "serve")
    async with Readers(stack), Ledger(stack, evses[2:], seed=3) as ledger:
        await ledger.wait_for(100, 60)
        for turn in range(ROUNDS):
            await misfortune(redis_engine)
            await ledger.wait_for(50, BACK_S)
            status = ("OUTOFORDER", "CHARGING")[turn % 2]
            assert await stack.post([stack.update(evses[0], status)]) == ["applied"]

            async def visible(status: str = status) -> bool:
                """what was written afterwards is shown by every worker"""
                return {await stack.shown(evses[0]) for _ in range(6)} == {status}

            await eventually(visible, BACK_S)
    assert set(ledger.answers) == {"200"}
    assert await ledger.missing() == []
    await assert_all_equal(stack)
    rebuilt = await stack.metric("relay", "mapsvc_relay_rebuilds")
    assert rebuilt == (1 if misfortune is frozen else 1 + ROUNDS)  # the first one filled it
    assert stack.complaints() == []


async def test_a_cache_that_is_lost_while_nothing_happens_is_rebuilt_all_the_same(
    stack: Stack, redis_engine: RedisEngine
) -> None:
    await stack.fill(20)
    await stack.start("ingest", "relay", "serve")
    await assert_all_equal(stack)
    await flushed(redis_engine)
    await assert_all_equal(stack)
    with redis_engine.client() as client:  # one shard only, as an eviction or a person would
        epoch = int(client.hget(CONTROL, "epoch"))
        client.delete(ShardKeys(3, epoch).head)
    await eventually(lambda: _rebuilds(stack, 3), BACK_S)
    await assert_all_equal(stack)
    assert stack.complaints() == []


async def _rebuilds(stack: Stack, count: int) -> bool:
    return await stack.metric("relay", "mapsvc_relay_rebuilds") == count


async def test_workers_that_start_while_redis_is_down_load_from_postgis_and_follow_redis_when_it_is_back(
    stack: Stack, redis_engine: RedisEngine
) -> None:
    evses = await stack.fill(60)
    await stack.start("ingest", "relay", "serve")
    await stack.post([stack.update(evse, "CHARGING") for evse in evses[::3]])
    await assert_all_equal(stack)
    stack.kill("serve")
    await asyncio.to_thread(redis_engine.kill)
    assert await stack.post_to(stack.ingest_url, [stack.update(evses[0], "OUTOFORDER")]) == ["applied"]
    await stack.start("serve")
    assert await stack.shown(evses[0]) == "OUTOFORDER"
    assert (await stack.json("/readyz"))["ready"] is True
    await asyncio.to_thread(redis_engine.start)
    assert await stack.post([stack.update(evses[0], "BLOCKED")]) == ["applied"]

    async def visible() -> bool:
        """what was written once Redis was back is shown by every worker"""
        return {await stack.shown(evses[0]) for _ in range(6)} == {"BLOCKED"}

    await eventually(visible, BACK_S)
    await assert_all_equal(stack)
    assert stack.complaints() == []


async def test_a_rebuild_on_demand_under_load_shows_nobody_anything_older(stack: Stack) -> None:
    """Replicas move to the new epoch without a 503 and without going back, and the old epoch's keys are dropped."""
    evses = await stack.fill(60)
    await stack.start("ingest", "relay", "serve")
    went_back: list[tuple[str, str]] = []

    async def watch(pid: int) -> None:
        """The changed_at of an EVSE never goes back at one worker."""
        shown: dict[str, str] = {}
        async with await session_with(stack, pid) as session:
            while True:
                for evse in evses[2::7]:
                    async with session.get(f"{stack.url}/v1/stations/{evse.station_id}") as response:
                        told = await response.json()
                    at = next((e["changed_at"] or "").rstrip("Z") for e in told["evses"] if e["uid"] == evse.uid)
                    if at < shown.get(evse.uid, ""):
                        went_back.append((shown[evse.uid], at))
                    shown[evse.uid] = at

    async with Readers(stack), Ledger(stack, evses[2:], seed=7) as ledger:
        await ledger.wait_for(100, 60)
        watching = [asyncio.create_task(watch(pid)) for pid in stack.workers()]
        for _ in range(3):
            assert await stack.command("rebuild-cache") == 0
            await ledger.wait_for(50, BACK_S)
        for task in watching:
            assert not task.done()
            task.cancel()
    assert went_back == []
    await assert_all_equal(stack)
    cache = Cache(stack.redis_url)
    try:
        epoch = int(await cache.call("HGET", CONTROL, "epoch"))
        keys = {key.decode() for key in await cache.call("KEYS", "*")}
    finally:
        await cache.close()
    own = tuple(ShardKeys(shard, epoch).pattern.removesuffix("*") for shard in range(SHARDS))
    others = {CONTROL, *(seen_key(shard) for shard in range(SHARDS))}
    assert {key for key in keys if not key.startswith(own)} <= others
    assert stack.complaints() == []


async def test_verify_tells_equal_from_different(stack: Stack) -> None:
    await stack.fill(20)
    await stack.start("relay")
    await eventually(lambda: _rebuilds(stack, 1), BACK_S)
    assert await stack.command("verify") == 0
    cache = Cache(stack.redis_url)
    try:
        epoch = int(await cache.call("HGET", CONTROL, "epoch"))
        for shard in range(SHARDS):
            keys = ShardKeys(shard, epoch)
            for cell in await cache.call("SMEMBERS", keys.cells):
                fields = await cache.call("HKEYS", keys.evses(cell.decode()))
                await cache.call("HDEL", keys.evses(cell.decode()), fields[0])
                assert await stack.command("verify") == 1
                return
    finally:
        await cache.close()
