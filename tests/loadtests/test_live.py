"""Reporters never report an EVSE twice at a time; the watch pairs what was acknowledged with what was told."""

from __future__ import annotations

import json

import pytest

from loadtests.live import Evse, Reporter, Update, Watch, box_around, now_rfc3339, outcomes_of
from loadtests.recorder import STREAM, Row

EVSES = [Evse(f"A*B~{i}", str(i), f"{i}-1", i % 2 == 0, 48.0 + i / 100, 8.0) for i in range(10)]
LONE = EVSES[0]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(available: int, station: str = LONE.station) -> bytes:
    return json.dumps({"stations": [{"id": station, "evses": {"available": available}}], "tiles": []}).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def row() -> Row:
    return Row("live event", STREAM)


@pytest.fixture
def watch(row: Row, clock: Clock) -> Watch:
    watch = Watch(row, clock)
    watch.over(LONE.lat, LONE.lon)
    return watch


def test_a_reporter_goes_round_and_tells_another_status_each_time() -> None:
    reporter = Reporter(EVSES, seed=1)
    turns = [[update for _ in range(5) for update in reporter.batch(2)] for _ in range(3)]
    assert all({update.evse for update in turn} == set(EVSES) for turn in turns)
    assert [{update.available for update in turn} for turn in turns] == [{False}, {True}, {False}]


def test_a_batch_has_no_evse_twice() -> None:
    batch = Reporter(EVSES, seed=1).batch(1000)
    assert len({update.evse for update in batch}) == len(batch) == len(EVSES)


@pytest.mark.parametrize(
    ("lat", "lon", "box"),
    [
        (48.0, 8.0, "7.9500,47.9500,8.0500,48.0500"),
        (0.0, 179.99, "179.9400,-0.0500,-179.9600,0.0500"),
        (0.0, -180.0, "179.9500,-0.0500,-179.9500,0.0500"),
        (89.99, 0.0, "-0.0500,89.9400,0.0500,90.0000"),
    ],
)
def test_viewports_are_boxes_that_the_api_takes_wherever_they_lie(lat: float, lon: float, box: str) -> None:
    assert box_around(lat, lon) == box


def test_updates_are_what_the_api_takes() -> None:
    assert Update(LONE, False).told("2026-01-31T12:00:00.000Z") == {
        "evse_uid": "0-1",
        "location_id": "0",
        "status": "CHARGING",
        "source_ts": "2026-01-31T12:00:00.000Z",
    }
    assert now_rfc3339().endswith("Z")


def test_outcomes_are_as_many_as_updates() -> None:
    assert outcomes_of(b'{"outcomes":[{"outcome":"applied"},{"outcome":"late","message":"x"}]}', 2) == [
        "applied",
        "late",
    ]
    for body in (b'{"outcomes":[{"outcome":"applied"}]}', b"{}", b"[]", b"x", b'{"outcomes":[1,2]}'):
        with pytest.raises(ValueError, match="outcomes"):
            outcomes_of(body, 2)


def test_from_the_acknowledgement_to_the_event(watch: Watch, row: Row, clock: Clock) -> None:
    update = Update(LONE, True)
    watch.sent(update)
    clock.now += 1.0
    watch.acked(update, "applied")
    clock.now += 0.25
    watch.told(told(0))  # the turn before
    watch.told(told(1, "A*B~other"))
    assert row.times == []
    clock.now += 0.25
    watch.told(told(1))
    watch.told(told(1))  # to a second subscriber
    assert row.times == [0.5]


def test_an_event_before_the_acknowledgement_took_no_time(watch: Watch, row: Row, clock: Clock) -> None:
    update = Update(LONE, True)
    watch.sent(update)
    watch.told(told(1))
    clock.now += 1.0
    watch.acked(update, "applied")
    assert row.times == [0.0]


def test_only_what_was_applied_is_awaited(watch: Watch, row: Row, clock: Clock) -> None:
    update = Update(LONE, True)
    watch.sent(update)
    watch.acked(update, "confirmed")
    clock.now += 60.0
    watch.give_up()
    watch.told(told(1))
    assert (row.times, dict(row.failures)) == ([], {})


def test_what_is_never_told_is_a_failure(watch: Watch, row: Row, clock: Clock) -> None:
    update = Update(LONE, True)
    watch.sent(update)
    watch.acked(update, "applied")
    clock.now += 9.0
    watch.give_up()
    assert not row.failures
    clock.now += 2.0
    watch.give_up()
    watch.give_up()
    assert dict(row.failures) == {"no event within 10 s of the acknowledgement": 1}


@pytest.mark.parametrize("evse", [EVSES[1], EVSES[0]._replace(lat=60.0)])
def test_stations_with_more_evses_and_those_that_nobody_watches_are_not_awaited(
    evse: Evse, watch: Watch, row: Row, clock: Clock
) -> None:
    watch.sent(Update(evse, True))
    watch.acked(Update(evse, True), "applied")
    clock.now += 60.0
    watch.give_up()
    watch.told(told(1, evse.station))
    assert (row.times, dict(row.failures)) == ([], {})
