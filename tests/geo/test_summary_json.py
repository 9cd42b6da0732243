"""Summaries written digit by digit, against the json module's reading of them and Python's own arithmetic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.station import Status
from geo.summary_json import SummaryWriter
from geo.texts import Texts
from geo.world import World
from tests.geo.model_world import State, Told
from tests.geo.worlds import START_MS, TORTURE, make_evse, make_station, packed, record


def world_of(count: int) -> World:
    world = World()
    told = [
        Told(num, 1, make_station(num, 48.0 + num / 100, 2.0, [make_evse(0), make_evse(1)]))
        for num in range(1, count + 1)
    ]
    world.put([record(one) for one in told], packed([]), START_MS)
    return world


def summary(world: World, row: int = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SummaryWriter(world).write(np.array([row], np.int32), **more).joined)
    return found


def instant(ms: int) -> str | None:
    at = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000, tzinfo=None)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds") + "Z" if ms else None


@given(st.integers(1, 253_402_300_799_999) | st.integers(1, 4_000_000_000_000))
def test_an_instant_is_what_datetime_says(ms: int) -> None:
    world = world_of(1)
    world.stations.changed_ms[0] = ms
    assert summary(world)["changed_at"] == instant(ms)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 86_399_999)), min_size=1, max_size=8))
def test_each_of_a_list_is_told_its_own_day(instants: list[tuple[int, int]]) -> None:
    """Among few days, so that they come again and again; the first of all days among them."""
    world = world_of(len(instants))
    wanted = [day * 86_400_000 + rest for day, rest in instants]
    world.stations.changed_ms[: len(wanted)] = wanted
    rows = np.arange(len(wanted), dtype=np.int32)
    found = json.loads(b"[%b]" % SummaryWriter(world).write(rows).joined)
    assert [one["changed_at"] for one in found] == [instant(ms) for ms in wanted]


@pytest.mark.parametrize("year", [1970, 1999, 2000, 2023, 2024, 2100, 2400, 9999])
def test_the_last_and_the_first_day_of_months_are_told(year: int) -> None:
    world = world_of(1)
    for month in range(1, 13):
        for at in (datetime(year, month, 1, tzinfo=UTC), datetime(year, month, 28, 23, 59, 59, tzinfo=UTC)):
            for days in range(5 if at.day == 28 and (year, month) != (9999, 12) else 1):
                world.stations.seen_ms[0] = ms = int(at.timestamp() * 1000) + days * 86_400_000
                wanted = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None).isoformat() + "Z"
                assert summary(world)["seen_at"] == (wanted if ms else None)


def test_what_never_was_is_null() -> None:
    found = summary(world_of(1))
    assert (found["changed_at"], found["seen_at"], found["open_now"]) == (None, None, None)


@given(st.floats(0, 1_000_000, width=32))
def test_powers_are_told_in_tenths_of_a_kilowatt(kw: float) -> None:
    world = world_of(1)
    world.stations.max_kw[0] = kw
    told = summary(world)["max_power_kw"]
    if kw == 0:
        assert told is None
    else:
        assert abs(told - kw) <= 0.05000001 * max(1.0, 1e-6 * kw)
        assert isinstance(told, int) == (round(10 * told) % 10 == 0)  # 22, not 22.0


@given(st.floats(0, 200_000))
def test_distances_are_told_in_tenths_of_a_metre(metres: float) -> None:
    text = SummaryWriter(world_of(1)).write(np.zeros(1, np.int32), metres=np.array([metres])).joined
    told = text[text.index(b'"distance_m":') + 13 : -1].decode()
    assert abs(float(told) - metres) <= 0.0500001 and told[-2] == "."


@given(st.lists(st.integers(0, 65_535), min_size=4, max_size=4))
def test_counts_that_follow_a_filter_are_told_in_full(counts: list[int]) -> None:
    found = summary(world_of(1), counts=np.array([counts], np.uint16), max_kw=np.array([50], np.float32))
    names = ("unknown", "available", "busy", "out_of_service")
    assert found["evses"] == {"total": sum(counts), **dict(zip(names, counts, strict=True))}


def test_a_list_of_any_length_is_written_whole() -> None:
    world = world_of(1500)
    writer, random = SummaryWriter(world), Random(1)
    for count in (0, 1, 1500, 3, 700):
        rows = np.array([random.randrange(1500) for _ in range(count)], np.int32)
        found = writer.write(rows)
        assert [one["id"] for one in json.loads(b"[%b]" % found.joined)] == [
            json.loads(b"{%b}" % world.texts[r])["id"] for r in rows
        ]
        assert b",".join(found.split()) == found.joined and len(found.split()) == count


def test_a_connector_that_went_is_not_listed_until_it_is_back() -> None:
    world = World()
    evses = [make_evse(0, [("CHADEMO", 50.0)]), make_evse(1, [("IEC_62196_T2", 22.0)])]
    world.put([record(Told(1, 1, make_station(1, 48.0, 2.0, evses)))], packed([]), START_MS)
    for n, status, listed in (
        (2, Status.REMOVED, ["IEC_62196_T2"]),
        (3, Status.AVAILABLE, ["CHADEMO", "IEC_62196_T2"]),
        (4, Status.REMOVED, ["IEC_62196_T2"]),
    ):
        world.put_states(packed([State(1, 0, n, status, START_MS, START_MS)]), START_MS)
        assert summary(world)["connectors"] == listed


@pytest.mark.parametrize("seed", range(50 if TORTURE else 5))
def test_texts_are_kept_while_others_come_and_go(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geo.texts.COMPACT_FROM", 50)
    random, texts = Random(seed), Texts()
    there: dict[int, bytes] = {}
    for _ in range(300):
        rows = random.sample(range(200), random.randint(1, 20))
        if random.random() < 0.4:
            texts.drop(np.array(rows, np.int32))
            there = {row: text for row, text in there.items() if row not in rows}
        else:
            fresh = {row: random.randbytes(random.randint(0, 40)) for row in rows}
            texts.put(np.array(rows, np.int32), list(fresh.values()))
            there |= fresh
        assert all(texts[row] == there.get(row, b"") for row in range(min(200, len(texts.length))))
        assert len(texts.data) <= 4 * sum(map(len, there.values())) + 4096
