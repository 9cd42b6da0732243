"""What the relay reads: packed statuses say what the rows say, and a hole is seen. Promise R5."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from geo.station import SHARDS, Status, shard_of
from mapsvc import outbox
from mapsvc.door import Door
from mapsvc.outbox import read_batch, read_states
from tests.mapsvc.live import database, fill, heads, key, located, report


async def test_packed_statuses_say_what_the_rows_say(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 30)
        before = await heads(pool)
        for turn in range(90):
            await report(pool, turn % 30, turn % 2, 1 + turn % 5, 1000 + turn)
        after = await heads(pool)
        rows = await read_states(pool, before)
        assert sorted(rows) == list(range(SHARDS))
        for shard, packed in rows.items():
            assert packed.follows == (after[shard] > before[shard])
            one_by_one = await read_batch(pool, shard, before[shard])
            if one_by_one is None:
                assert (packed.size, packed.batch) == (0, None)
                continue
            assert packed.batch is not None
            assert packed.batch[:2] == one_by_one[:2] == (before[shard] + 1, after[shard])
            assert packed.batch.clock_ms >= one_by_one.clock_ms
            np.testing.assert_array_equal(packed.batch.states, one_by_one.states)
            nums = packed.batch.states["num"].tolist()
            assert packed.batch.cells == [one_by_one.cells[num] for num in nums]


async def test_a_status_of_a_hidden_station_is_a_number_only_and_a_station_must_be_read_by_itself(
    database_url: str,
) -> None:
    async with database(database_url) as pool:
        await fill(pool, 2)
        hidden, shown = shard_of(key(0)), shard_of(key(1))
        assert hidden != shown
        gone = located(0, updated_ms=1_800_000_000_000)
        gone = msgspec.structs.replace(gone, station=msgspec.structs.replace(gone.station, publish=False))
        await Door(pool).put([gone])
        before = await heads(pool)
        await report(pool, 0, 0, Status.CHARGING, 1000)
        await report(pool, 1, 0, Status.CHARGING, 1000)
        rows = await read_states(pool, {hidden: before[hidden], shown: before[shown]})
        batch = rows[hidden].batch
        assert batch is not None
        assert (batch.first, batch.last, len(batch.states), batch.cells) == (before[hidden] + 1,) * 2 + (0, [])
        assert rows[shown].batch is not None
        await Door(pool).put([located(1, updated_ms=1_800_000_000_000, lat=10.0)])
        rows = await read_states(pool, {hidden: before[hidden], shown: before[shown]})
        assert rows[hidden].batch is not None
        assert (rows[shown].size, rows[shown].follows, rows[shown].batch) == (2, True, None)
        mixed = await read_batch(pool, shown, before[shown])
        assert mixed is not None
        assert (len(mixed.states), len(mixed.stations)) == (1, 1)


async def test_a_hole_is_seen_wherever_it_is_and_so_is_that_there_is_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH_ROWS", 4)
    async with database(database_url) as pool:
        await fill(pool, 1)
        shard = shard_of(key(0))
        head = (await heads(pool))[shard]
        for turn in range(3):
            await report(pool, 0, 0, 1 + turn, 1000 + turn)
        rows = (await read_states(pool, {shard: head}))[shard]
        assert (rows.size, rows.follows, rows.may_have_more) == (3, True, False)
        for turn in range(3, 7):
            await report(pool, 0, 0, 1 + turn % 5, 1000 + turn)
        rows = (await read_states(pool, {shard: head}))[shard]
        assert (rows.size, rows.follows, rows.may_have_more) == (4, True, True)
        await pool.fetch("DELETE FROM outbox WHERE shard = $1 AND n = $2", shard, head + 2)
        assert not (await read_states(pool, {shard: head}))[shard].follows
        assert not (await read_states(pool, {shard: head + 1}))[shard].follows
        assert (await read_states(pool, {shard: head + 2}))[shard].follows
        assert await read_batch(pool, shard, head + 1) is None
