"""The benchmark's own SQL against the service's tables: it must not rot when they change."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import numpy as np
import pytest

from loadtests.bench import snapshot as snapshots
from loadtests.bench import updates
from loadtests.bench.oracle import Oracle
from loadtests.bench.peers.postgis import KNN, TILE
from loadtests.bench.questions import metres
from loadtests.bench.stage import load_tables
from tests.e2e.stack import Stack, station_at


@pytest.fixture
async def filled(database_url: str, tmp_path: Path) -> str:
    """Forty stations of the end-to-end tests, straight through the door."""
    stack = Stack(database_url, "redis://unused", tmp_path / "stack")
    await stack.fill(stations=40)
    return database_url


async def test_the_snapshot_holds_every_station_and_the_peers_answer_like_the_oracle(
    filled: str, tmp_path: Path
) -> None:
    world = await _snapshot(filled, tmp_path / "snapshot")
    assert len(world) == 40
    assert world.standards == ("IEC_62196_T2_COMBO",)
    assert world.rarest_standard() == "IEC_62196_T2_COMBO"
    assert world.total.tolist() == [2] * 40
    assert set(world.max_kw.tolist()) == {150.0}
    first = station_at(0, 2)
    assert metres(world, (first.lat, first.lon)).min() == 0

    await load_tables(filled, tmp_path / "snapshot")
    oracle = Oracle(world)
    connection = await asyncpg.connect(filled)
    try:
        body = await connection.fetchval(KNN, first.lon, first.lat, 20, 10_000.0)
        oracle.check_nearby("PostGIS", body.encode(), (first.lat, first.lon))
        tile, count = oracle.tiles(12)[0]
        tile_body = await connection.fetchval(TILE, *tile)
        assert oracle.check_station_tile("PostGIS", tile_body, tile) >= count - 2
        await connection.execute("UPDATE evse SET status = 1")
        assert len(await connection.fetch(updates.SQL, 10)) in range(8, 41)
    finally:
        await connection.close()


async def test_a_station_that_is_not_published_is_not_in_the_snapshot(filled: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(filled)
    try:
        await connection.execute("UPDATE station SET publish = false WHERE num = (SELECT min(num) FROM station)")
        await connection.execute("UPDATE evse SET status = 7 WHERE slot = 0")
    finally:
        await connection.close()
    world = await _snapshot(filled, tmp_path / "snapshot")
    assert len(world) == 39
    assert world.total.tolist() == [1] * 39
    assert np.array_equal(np.sort(world.num), world.num)


async def _snapshot(database_url: str, folder: Path) -> snapshots.Snapshot:
    await snapshots.save(database_url, folder)
    return snapshots.load(folder)
