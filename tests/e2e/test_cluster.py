"""The same data path on a real Redis Cluster of three: keys that a script does not declare, or that belong to two shards,
pass on one server and fail here."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from cache.client import CLUSTER_SCHEME
from geo.station import Located
from mapsvc.engines import RedisClusterEngine
from tests.e2e.compare import assert_all_equal
from tests.e2e.ledger import Ledger
from tests.e2e.readers import Readers
from tests.e2e.stack import Point, Stack, eventually, station_at

BACK_S = 40.0


@pytest_asyncio.fixture
async def cluster_stack(database_url: str, redis_cluster_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    url = CLUSTER_SCHEME + redis_cluster_url.partition("://")[2].removesuffix("/0")
    async with Stack(database_url, url, tmp_path) as stack:
        yield stack


async def test_updates_moves_removals_confirmations_and_a_rebuild_go_their_way_on_a_cluster(
    cluster_stack: Stack,
) -> None:
    stack = cluster_stack
    evses = await stack.fill(60, ttl_s=4)
    await stack.start("ingest", "relay", "serve")
    async with Readers(stack, evses=evses[4:]), Ledger(stack, evses[4:], seed=8) as ledger:
        await ledger.wait_for(200, 60)
        await stack.put([Located(station_at(0, 2, lat=-33.9, lon=151.2, updated_ms=1_800_000_000_000))])
        await stack.remove([evses[2]])
        await stack.command("rebuild-cache")
        await ledger.wait_for(100, 60)
    assert await ledger.missing() == []
    await assert_all_equal(stack)
    around = await stack.json("/v1/nearby?lat=-33.9&lon=151.2")
    assert [station["id"] for station in around["stations"]] == [evses[0].station_id]
    assert await stack.shown(evses[2]) is None

    assert await stack.post([stack.update(evses[0], "CHARGING")]) == ["applied"]
    confirming = asyncio.create_task(confirm_for_ever(stack, evses[0]))
    await asyncio.sleep(6)  # longer than the TTL: only confirmations keep it alive
    assert {await stack.shown(evses[0]) for _ in range(6)} == {"CHARGING"}
    await stack.stop("serve", signal.SIGINT)
    await stack.start("serve")  # what it loads is fresh as well
    assert {await stack.shown(evses[0]) for _ in range(6)} == {"CHARGING"}
    assert not confirming.done()
    confirming.cancel()
    assert stack.complaints() == []


async def confirm_for_ever(stack: Stack, evse: Point) -> None:
    while True:
        assert await stack.post_to(stack.ingest_url, [stack.update(evse, "CHARGING")]) == ["confirmed"]
        await asyncio.sleep(0.4)


async def test_a_node_that_comes_back_empty_is_filled_again_and_nobody_notices(
    cluster_stack: Stack, redis_cluster_engine: RedisClusterEngine
) -> None:
    stack = cluster_stack
    evses = await stack.fill(60)
    await stack.start("ingest", "relay", "serve")
    async with Readers(stack), Ledger(stack, evses[2:], seed=9) as ledger:
        await ledger.wait_for(100, 60)
        node = redis_cluster_engine.nodes[1]
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(3)
        await asyncio.to_thread(node.start)
        assert await stack.post([stack.update(evses[0], "BLOCKED")]) == ["applied"]

        async def visible() -> bool:
            """what was written afterwards is shown by every worker"""
            return {await stack.shown(evses[0]) for _ in range(6)} == {"BLOCKED"}

        await eventually(visible, BACK_S)
        await ledger.wait_for(100, 60)
    assert set(ledger.answers) == {"200"}
    await assert_all_equal(stack)
    assert stack.complaints() == []
