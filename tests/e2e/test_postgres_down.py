"""Promise R4: without PostgreSQL reads go on, writes are told to come back and never acknowledged, and all catches up by
itself. And with two relays, the death of the active one is a matter of seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from cache.client import Cache
from cache.keys import CONTROL, ShardKeys
from geo.station import SHARDS
from mapsvc import spawn
from mapsvc.engines import PostgresEngine
from tests.e2e.compare import assert_all_equal
from tests.e2e.ledger import Ledger
from tests.e2e.readers import Readers
from tests.e2e.stack import TORTURE, Stack, eventually

DOWN_S = 60.0 if TORTURE else 5.0
BACK_S = 30.0  # until writes are taken again; seconds when nothing else runs here
TAKE_OVER_S = 5.0  # R4's own figure


async def test_while_postgres_is_down_reads_go_on_and_writes_get_503_and_no_acknowledgement(
    stack: Stack, postgres_engine: PostgresEngine
) -> None:
    evses = await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    async with Readers(stack), Ledger(stack, evses, seed=4) as ledger:
        await ledger.wait_for(100, 60)
        await asyncio.to_thread(postgres_engine.stop)
        await asyncio.sleep(0.5)  # answers that were on their way
        acknowledged, refused = len(ledger.applied), ledger.answers["503"]
        await asyncio.sleep(DOWN_S)
        assert len(ledger.applied) == acknowledged
        assert ledger.answers["503"] > refused
        await asyncio.to_thread(postgres_engine.start)
        await ledger.wait_for(100, BACK_S)
    assert set(ledger.answers) == {"200", "503"}
    assert await ledger.missing() == []
    await assert_all_equal(stack)
    assert stack.complaints() == []


async def test_a_frozen_postgres_is_like_a_dead_one_and_goes_on_when_it_thaws(
    stack: Stack, postgres_engine: PostgresEngine
) -> None:
    """It accepts connections and never answers: only deadlines help."""
    evses = await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    assert postgres_engine.pid is not None
    pids = [postgres_engine.pid]
    async with Readers(stack), Ledger(stack, evses, seed=5) as ledger:
        await ledger.wait_for(100, 60)
        os.kill(pids[0], signal.SIGSTOP)  # the postmaster first: it can start no more
        pids += spawn.children(pids[0])
        for pid in pids[1:]:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.5)
            acknowledged = len(ledger.applied)
            await asyncio.sleep(0.5)
            began = time.monotonic()
            async with stack.session.post(
                f"{stack.ingest_url}/v1/status", json=[stack.update(evses[0], "BLOCKED")], headers=stack.auth
            ) as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) >= 1
            assert time.monotonic() - began < 15
            await asyncio.sleep(max(0, DOWN_S - 10))
            assert len(ledger.applied) == acknowledged
            refused = ledger.answers["503"]
            assert refused > 0
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        await ledger.wait_for(100, BACK_S)
    assert set(ledger.answers) == {"200", "503"}
    assert await ledger.missing() == []
    await assert_all_equal(stack)
    assert stack.complaints() == []


@pytest.mark.parametrize("end", ["killed", "frozen"])
async def test_when_the_active_relay_is_gone_the_second_one_shows_the_next_update_within_five_seconds(
    stack: Stack, end: str
) -> None:
    evses = await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    await eventually(lambda: holds(stack, "relay"), 20)
    await stack.start("relay-2")
    async with Readers(stack), Ledger(stack, evses[2:], seed=6) as ledger:
        await ledger.wait_for(100, 60)
        if end == "killed":
            stack.kill("relay")
        else:
            stack.signal("relay", signal.SIGSTOP)
        assert await stack.post([stack.update(evses[0], "OUTOFORDER")]) == ["applied"]

        async def visible() -> bool:
            """the update is shown"""
            return await stack.shown(evses[0]) == "OUTOFORDER"

        took_s = await eventually(visible, TAKE_OVER_S if end == "killed" else 20)
        print(f"visible after {took_s:.2f} s")
        if end == "frozen":  # and now both believe to be the active one
            stack.signal("relay", signal.SIGCONT)
        await ledger.wait_for(100, 60)
    assert await ledger.missing() == []
    await assert_all_equal(stack)
    await assert_streams_are_gapless(stack)
    for worker in ("serve-1", "serve-2"):
        assert await stack.metric(worker, "mapsvc_replica_gaps") == 0
    assert stack.complaints() == []


async def holds(stack: Stack, relay: str) -> bool:
    """the relay holds every shard"""
    return await stack.metric(relay, "mapsvc_relay_active_shards") == SHARDS


async def assert_streams_are_gapless(stack: Stack) -> None:
    """Every entry of every shard's log begins right after the one before it: no n is left out and none comes twice."""
    cache = Cache(stack.redis_url)
    try:
        epoch = int(await cache.call("HGET", CONTROL, "epoch"))
        entries = 0
        for shard in range(SHARDS):
            last = None
            for entry_id, fields in await cache.client.xrange(ShardKeys(shard, epoch).log):
                first, end = int(fields[b"from"]), int(entry_id.partition(b"-")[0])
                assert first <= end and (last is None or first == last + 1), (shard, last, first, end)
                last, entries = end, entries + 1
        assert entries > SHARDS
    finally:
        await cache.close()
