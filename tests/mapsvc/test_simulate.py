"""The simulated day: arrivals follow the hour, nobody arrives twice, and what begins ends; then what is posted of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from statistics import mean, median
from zoneinfo import ZoneInfo

import asyncpg
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from geo.station import Connector, Evse, Located, Station, Status
from mapsvc.door import Door
from mapsvc.replay.layout import PARTY as REPLAYED
from mapsvc.role import Role
from mapsvc.settings import Settings
from mapsvc.simulate import Simulated, _chargers, by_party, simulate, zone_of
from mapsvc.simulate_day import FAST, SLOW, Change, Charger, Day, Use
from sql import queries
from tests.e2e.stack import OneByOne, eventually, station_at

MIDNIGHT_S = datetime(2026, 3, 3, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
OUT = (Status.OUTOFORDER, Status.INOPERATIVE)


def played(use: Use, chargers: int, hours: int, *, seed: int = 1) -> tuple[Day, list[tuple[int, Change]]]:
    """The changes of a day in UTC, with the hour in which they were drawn."""
    day = Day([Charger(use, UTC)] * chargers, MIDNIGHT_S, random.Random(seed))
    return day, [(h, c) for h in range(hours) for c in day.advance(MIDNIGHT_S + (h + 1) * HOUR_S)]


@pytest.mark.parametrize("use", [FAST, SLOW], ids=["fast", "slow"])
def test_arrivals_follow_the_hour_of_the_day(use: Use) -> None:
    """Few chargers are taken in this test, so that hardly any car drives on: the profile shows as it is."""
    seldom = use._replace(visits_per_day=use.visits_per_day / 10)
    chargers = 20_000
    _, changes = played(seldom, chargers, 24)
    begun = Counter(hour for hour, change in changes if change.status is Status.CHARGING)
    for hour, share in enumerate(use.shares):
        expected = chargers * seldom.visits_per_day * share / sum(use.shares)
        # 6 %: for those who drive on; four standard deviations of a Poisson number: for chance.
        assert abs(begun[hour] - expected) < 0.06 * expected + 4 * expected**0.5, (hour, begun[hour], expected)


def test_an_evening_is_fuller_than_the_night_and_emptier_than_noon() -> None:
    day = Day([Charger(FAST, UTC)] * 3000, MIDNIGHT_S, random.Random(7))
    taken = {}
    for hour in range(1, 24):
        for _ in day.advance(MIDNIGHT_S + hour * HOUR_S):
            pass
        taken[hour] = mean(status is Status.CHARGING for status in day.statuses)
    assert taken[4] < 0.03 < 0.10 < taken[20] < taken[18] < 0.40
    assert 0.25 < taken[13] < 0.40


@pytest.mark.parametrize("use", [FAST, SLOW], ids=["fast", "slow"])
def test_nobody_arrives_at_a_taken_charger_and_no_status_is_said_twice(use: Use) -> None:
    chargers = 500
    day = Day([Charger(use, UTC)] * chargers, MIDNIGHT_S, random.Random(3))
    known = list(day.statuses)
    for charger, status in day.advance(MIDNIGHT_S + 72 * HOUR_S):
        before, known[charger] = known[charger], status
        assert status is not before
        if status is Status.CHARGING:
            assert before in (Status.AVAILABLE, Status.RESERVED)
        elif status in (Status.RESERVED, Status.BLOCKED):
            assert before is Status.AVAILABLE
        elif status in OUT:
            assert before not in OUT
    assert known == day.statuses


@pytest.mark.parametrize(
    ("use", "shortest_min", "longest_min"), [(FAST, 20, 40), (SLOW, 90, 180)], ids=["fast", "slow"]
)
def test_fast_stays_are_short_and_slow_ones_long(use: Use, shortest_min: float, longest_min: float) -> None:
    day = Day([Charger(use, UTC)] * 300, MIDNIGHT_S, random.Random(5))
    begun: dict[int, float] = {}
    stays: list[float] = []
    for minute in range(1, 48 * 60):
        at_s = MIDNIGHT_S + minute * 60
        for charger, status in day.advance(at_s):
            if status is Status.CHARGING:
                begun[charger] = at_s
            elif status is Status.AVAILABLE and charger in begun:
                stays.append((at_s - begun.pop(charger)) / 60)
            else:
                begun.pop(charger, None)
    assert len(stays) > 500
    assert shortest_min < median(stays) < longest_min
    assert max(stays) <= use.longest_s / 60 + 1


def test_one_charger_in_forty_is_out_of_order_and_is_repaired() -> None:
    day, changes = played(SLOW, 6_000, 48)
    assert 0.015 < mean(status in OUT for status in day.statuses) < 0.035
    broken = {change.charger for _, change in changes if change.status in OUT}
    assert len(broken) > 200
    assert sum(day.statuses[charger] not in OUT for charger in broken) > len(broken) / 3


def test_the_demo_begins_as_full_as_the_hour() -> None:
    """Beginning at six in the evening looks like having begun at midnight and waited."""
    evening_s = MIDNIGHT_S + 18 * HOUR_S
    waited, _ = played(SLOW, 6_000, 18)
    begun = Day([Charger(SLOW, UTC)] * 6_000, evening_s, random.Random(2))
    for status in (Status.AVAILABLE, Status.CHARGING):
        assert abs(waited.statuses.count(status) - begun.statuses.count(status)) < 240, status


def test_each_place_lives_by_its_own_clock() -> None:
    chargers = [Charger(FAST, timezone(timedelta(hours=9)))] * 1000 + [Charger(FAST, UTC)] * 1000
    day = Day(chargers, MIDNIGHT_S, random.Random(4))
    begun = Counter(c.charger < 1000 for c in day.advance(MIDNIGHT_S + 6 * HOUR_S) if c.status is Status.CHARGING)
    assert begun[True] > 10 * begun[False] > 0  # from nine in the morning there, from midnight here


def test_the_same_seed_draws_the_same_day_and_another_seed_another() -> None:
    first, again, other = (played(FAST, 200, 6, seed=seed)[1] for seed in (1, 1, 2))
    assert first == again != other


def test_what_happens_does_not_depend_on_how_often_one_looks() -> None:
    once = Day([Charger(FAST, UTC)] * 300, MIDNIGHT_S, random.Random(6))
    often = Day([Charger(FAST, UTC)] * 300, MIDNIGHT_S, random.Random(6))
    at_once = list(once.advance(MIDNIGHT_S + HOUR_S))
    bit_by_bit = [c for a in range(0, 3601, 9) for c in often.advance(MIDNIGHT_S + a)]
    assert at_once == bit_by_bit
    assert len(at_once) > 10


def test_no_chargers_have_no_day() -> None:
    assert list(Day([], MIDNIGHT_S, random.Random(1)).advance(MIDNIGHT_S + 1e6)) == []


def test_a_turn_reports_the_last_word_of_each_charger_by_party() -> None:
    charger = Charger(FAST, UTC)
    evses = [Simulated(party, "L", str(i), charger, Status.UNKNOWN) for i, party in enumerate(("A*A", "A*A", "B*B"))]
    turn = [
        Change(0, Status.CHARGING), Change(2, Status.RESERVED), Change(1, Status.CHARGING), Change(0, Status.AVAILABLE)
    ]  # fmt: skip
    assert by_party(turn, evses) == {
        "A*A": [Change(0, Status.AVAILABLE), Change(1, Status.CHARGING)],
        "B*B": [Change(2, Status.RESERVED)],
    }


def station(lon: float, zone: str | None = None, *evses: Evse) -> Station:
    return Station(party="X*T", location_id="1", lat=50.0, lon=lon, last_updated_ms=0, time_zone=zone, evses=evses)


def test_the_hour_is_the_zones_else_the_longitudes() -> None:
    assert zone_of(station(2.3, "Europe/Paris")) == ZoneInfo("Europe/Paris")
    assert zone_of(station(139.7)) == timezone(timedelta(hours=9))
    assert zone_of(station(-179.9, "Nowhere/At_All")) == timezone(timedelta(hours=-12))
    hours = [(zone_of(station(lon)).utcoffset(None) or timedelta()).total_seconds() / 3600 for lon in range(-180, 181)]
    assert (hours[0], hours[-1], sorted(hours)) == (-12, 12, hours)


def test_a_charger_is_fast_by_its_direct_current() -> None:
    dc, ac = Connector("1", "IEC_62196_T2_COMBO", None, "DC"), Connector("1", "IEC_62196_T2", None, "AC_3_PHASE")
    found = _chargers(station(0.0, "UTC", Evse("a", 0, connectors=(ac,)), Evse("b", 4, connectors=(ac, dc))))
    assert {slot: charger.use for slot, charger in found.items()} == {0: SLOW, 4: FAST}


async def test_it_reports_for_operators_and_leaves_no_key_behind(database_url: str) -> None:
    """The beginning says what differs from the store; a register's and a replay's EVSEs are none of its business."""
    posted: dict[str, list[dict[str, str]]] = {}
    beats: set[str] = set()

    async def status(request: web.Request) -> web.Response:
        posted.setdefault(request.headers["Authorization"], []).extend(orjson.loads(await request.read()))
        return web.json_response({"outcomes": []})

    async def heartbeat(request: web.Request) -> web.Response:
        beats.add(request.headers["Authorization"])
        return web.json_response({"parties": []})

    app = web.Application()
    app.router.add_post("/v1/status", status)
    app.router.add_post("/v1/heartbeat", heartbeat)
    connection = await asyncpg.connect(database_url)
    try:
        parties = ["XA*ONE", "XB*TWO", REPLAYED, "irve"]
        await connection.fetch(queries.PARTY_ADD, parties, "operator", 900)
        stations = [station_at(i, 3, party=party) for i, party in enumerate(parties)]
        await Door(OneByOne(connection)).put([Located(s) for s in stations])
        async with TestServer(app) as server:
            settings = Settings(database_url=database_url, ingest_url=str(server.make_url("")).rstrip("/"))
            task = asyncio.create_task(simulate(Role("simulate", settings), 1))

            async def all_told() -> bool:
                return len(beats) == 2 and sum(map(len, posted.values())) == 6

            await eventually(all_told, 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert sorted(row["evse_uid"] for rows in posted.values() for row in rows) == [
            f"L{i}-{k}" for i in (0, 1) for k in range(3)
        ]
        assert len(posted) == len(beats) == 2
        keys = await connection.fetch(queries.API_KEYS)
        assert {tuple(row["parties"]) for row in keys} == {("XA*ONE",), ("XB*TWO",)}
        assert all(row["revoked_at"] is not None for row in keys)
    finally:
        await connection.close()
