"""Stations through the one door: new, changed, late, gone and back; slots for ever; and the statuses that they carry."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from geo.station import Evse, Located, Status, StatusReport
from mapsvc.database import Database
from mapsvc.door import ROWS_AT_ONCE, Door, Fate, Written, with_slots
from sql import queries
from tests.e2e.stack import PARTY, station_at
from tests.mapsvc.live import database, fill, heads, key, located, report

NEW, CHANGED, UNCHANGED, LATE, REMOVED = Fate.NEW, Fate.CHANGED, Fate.UNCHANGED, Fate.LATE, Fate.REMOVED
BASE_MS = 1_700_000_000_000


def fates(written: list[Written]) -> list[Fate]:
    return [item.fate for item in written]


def with_evses(i: int, *uids: str, updated_ms: int = BASE_MS, reports: tuple[StatusReport, ...] = ()) -> Located:
    station = msgspec.structs.replace(
        station_at(i, 0, updated_ms=updated_ms), evses=tuple(Evse(uid=uid) for uid in uids)
    )
    return Located(station, reports)


async def evses(pool: Database, i: int) -> dict[str, tuple[int, int, bool]]:
    """uid -> (slot, status, gone)."""
    rows = await pool.fetch(
        "SELECT e.uid, e.slot, e.status, e.gone FROM evse AS e JOIN station AS s USING (num) WHERE s.key = $1", key(i)
    )
    return {row["uid"]: (row["slot"], row["status"], row["gone"]) for row in rows}


async def test_the_same_document_twice_changes_nothing(database_url: str) -> None:
    async with database(database_url) as pool:
        assert fates(await fill(pool, 20)) == [NEW] * 20
        before = await heads(pool)
        door = Door(pool)
        assert fates(await door.put([located(i) for i in range(20)])) == [UNCHANGED] * 20
        assert await heads(pool) == before
        assert door.tally.stations == {"unchanged": 20}
        assert door.tally.evses["unchanged"] == 40


async def test_an_older_document_is_late_and_of_equal_ones_the_later_receipt_stands(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 1)
        door = Door(pool)
        assert fates(await door.put([located(0, updated_ms=BASE_MS + 5, lat=1.0)])) == [CHANGED]
        assert fates(await door.put([located(0, updated_ms=BASE_MS + 4, lat=2.0)])) == [LATE]
        assert fates(await door.put([located(0, updated_ms=BASE_MS + 5, lat=3.0)])) == [CHANGED]
        (row,) = await pool.fetch("SELECT ST_Y(geom) AS lat, doc->>'lat' AS told FROM station")
        assert (row["lat"], float(row["told"])) == (3.0, 3.0)


async def test_the_same_station_twice_in_one_batch_is_compared_with_itself(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 0)
        written = await Door(pool).put(
            [located(0), located(0, updated_ms=BASE_MS + 1, lat=1.0), located(0), located(0)]
        )
        assert fates(written) == [NEW, CHANGED, LATE, LATE]
        assert (await pool.fetchval("SELECT count(*) FROM station")) == 1


async def test_a_removed_station_keeps_its_number_and_may_come_back_with_an_older_document(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 1)
        num = await pool.fetchval("SELECT num FROM station")
        door = Door(pool)
        assert fates(await door.remove([key(0), key(9)])) == [REMOVED, UNCHANGED]
        assert fates(await door.remove([key(0)])) == [UNCHANGED]
        assert {status for _, status, _ in (await evses(pool, 0)).values()} == {Status.REMOVED}
        assert fates(await door.put([located(0, updated_ms=BASE_MS - 1)])) == [NEW]
        assert await pool.fetchval("SELECT num FROM station") == num
        assert set((await evses(pool, 0)).values()) == {(0, 0, False), (1, 0, False)}


async def test_a_slot_belongs_to_its_uid_for_ever(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 0)
        door = Door(pool)
        await door.put([with_evses(0, "a", "b", "c")])
        await door.put([with_evses(0, "c", "d", updated_ms=BASE_MS + 1)])
        assert {uid: (slot, gone) for uid, (slot, _, gone) in (await evses(pool, 0)).items()} == {
            "a": (0, True), "b": (1, True), "c": (2, False), "d": (3, False),
        }  # fmt: skip
        await door.put([with_evses(0, "B", "e", updated_ms=BASE_MS + 2)])  # uids are compared without case
        assert {uid: (slot, gone) for uid, (slot, _, gone) in (await evses(pool, 0)).items()} == {
            "a": (0, True), "B": (1, False), "c": (2, True), "d": (3, True), "e": (4, False),
        }  # fmt: skip


async def test_random_documents_of_one_station_agree_with_a_dictionary(database_url: str) -> None:
    draw = random.Random(11)
    slots: dict[str, int] = {}
    async with database(database_url) as pool:
        await fill(pool, 0)
        door = Door(pool)
        for turn in range(40):
            uids = draw.sample("abcdefgh", draw.randint(0, 5))
            await door.put([with_evses(0, *uids, updated_ms=BASE_MS + turn)])
            for uid in uids:
                slots.setdefault(uid, len(slots))
            found = await evses(pool, 0)
            assert {uid: slot for uid, (slot, _, _) in found.items()} == slots
            assert {uid for uid, (_, _, gone) in found.items() if not gone} == set(uids)
            if draw.random() < 0.2:
                await door.remove([key(0)])
                assert all(gone for _, _, gone in (await evses(pool, 0)).values())
    # New ones of one document take their slots in its order.
    assert with_slots(with_evses(0, "x", "y").station, {"a": 4}).evses[0].slot == 5
    with pytest.raises(ValueError, match="two EVSEs"):
        with_slots(with_evses(0, "x", "X").station, {})


async def test_writers_that_meet_over_the_same_stations_lose_nothing(database_url: str) -> None:
    """Each reads, compares and writes without a lock in between: who comes second compares again."""
    async with database(database_url) as pool:
        await fill(pool, 30)

        async def write(mine: int) -> list[Fate]:
            updated = [located(i, updated_ms=BASE_MS + 10 * mine, lat=float(mine)) for i in range(30)]
            return fates(await Door(pool).put(updated))

        every = await asyncio.gather(*(write(mine) for mine in range(1, 5)))
        assert {fate for fates in every for fate in fates} <= {CHANGED, LATE}
        assert every[-1] == [CHANGED] * 30  # the newest document always stands
        rows = await pool.fetch("SELECT ST_Y(geom) AS lat, last_updated_ms FROM station")
        assert {(row["lat"], row["last_updated_ms"]) for row in rows} == {(4.0, BASE_MS + 40)}


async def test_statuses_of_a_document_follow_the_ordering_rule(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 1)
        await report(pool, 0, 0, Status.CHARGING, 5000)
        now_ms = await pool.fetchval(queries.CLOCK_MS)
        door = Door(pool)
        told = (StatusReport("l0-0", Status.AVAILABLE, 4000), StatusReport("L0-1", Status.BLOCKED, now_ms + 1_000_000))
        (written,) = await door.put([with_evses(0, "L0-0", "L0-1", updated_ms=BASE_MS + 1, reports=told)])
        assert written.futures == 1
        assert {uid: status for uid, (_, status, _) in (await evses(pool, 0)).items()} == {
            "L0-0": Status.CHARGING, "L0-1": Status.UNKNOWN,
        }  # fmt: skip
        assert door.tally.statuses == {"late": 1, "future": 1}
        await door.put(
            [
                with_evses(
                    0, "L0-0", "L0-1", updated_ms=6000 + BASE_MS, reports=(StatusReport("L0-0", Status.AVAILABLE),)
                )
            ]
        )
        assert (await evses(pool, 0))["L0-0"][1] == Status.AVAILABLE  # its instant is the document's


@pytest.mark.parametrize(("order_by", "ttl_s"), [("seq", 900), ("ts", None)])
async def test_a_register_and_a_party_that_orders_by_sequence_report_no_status_by_document(
    database_url: str, order_by: str, ttl_s: int | None
) -> None:
    async with database(database_url) as pool:
        await fill(pool, 0, order_by=order_by, ttl_s=ttl_s)
        await Door(pool).put([with_evses(0, "a", reports=(StatusReport("a", Status.AVAILABLE, 1000),))])
        assert (await evses(pool, 0))["a"][1] == Status.UNKNOWN


async def test_a_car_park_with_more_evses_than_a_batch_takes_is_written_whole(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 0)
        uids = [f"e{k}" for k in range(ROWS_AT_ONCE + 300)]
        reports = tuple(StatusReport(uid, Status.CHARGING, 1000) for uid in uids)
        assert fates(await Door(pool).put([with_evses(0, *uids, reports=reports)])) == [NEW]
        found = await evses(pool, 0)
        assert len(found) == len(uids)
        assert {status for _, status, _ in found.values()} == {Status.CHARGING}


async def test_many_stations_with_many_statuses_go_in_batches_the_database_takes(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 0)
        many = []
        for i in range(150):
            uids = [f"{i}-{k}" for k in range(40)]
            many.append(with_evses(i, *uids, reports=tuple(StatusReport(uid, Status.BLOCKED, 9) for uid in uids)))
        assert fates(await Door(pool).put(many)) == [NEW] * 150
        assert await pool.fetchval("SELECT count(*) FROM evse WHERE status = $1", int(Status.BLOCKED)) == 6000
        outbox: list[Any] = await pool.fetch("SELECT shard, count(*) AS rows, max(n) AS n FROM outbox GROUP BY shard")
        assert all(row["rows"] == row["n"] for row in outbox)
        assert {row["shard"] for row in outbox} == set(range(16))


async def test_parties_are_made_once_and_keep_their_rules(database_url: str) -> None:
    async with database(database_url) as pool:
        await pool.fetch(queries.PARTY_PUT, PARTY, "operator", "", "seq", 60)
        await Door(pool).add_parties({PARTY, "irve"}, live=False)
        rows = {row["id"]: (row["order_by"], row["ttl_s"]) for row in await pool.fetch(queries.PARTIES)}
        assert rows == {PARTY: ("seq", 60), "irve": ("ts", None)}
