"""The timer wheel against a scan of everything, and a world in which everything expires at once. Promise R7."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import geo.expiry
from geo.columns import NEVER_MS, EvseTable, Rows
from geo.expiry import BLOCK, ROWS_AT_ONCE, ExpiryWheel
from geo.party_clocks import PartyClock
from geo.point import Floats
from geo.station import Availability, Status
from geo.world import World
from tests.geo.model_world import State, Told
from tests.geo.worlds import START_MS, TORTURE, make_evse, make_station, packed, party_of, record


@pytest.mark.parametrize("seed", range(200 if TORTURE else 10))
def test_whatever_is_scheduled_expires_when_it_is_due_and_not_before(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geo.expiry, "BLOCK", 8)
    monkeypatch.setattr(geo.expiry, "ROWS_AT_ONCE", 5)
    random = Random(seed)
    evses = EvseTable(300)
    evses.size = 300
    wheel, now_ms = ExpiryWheel(evses), 0
    for _ in range(300):
        rows = np.array(random.sample(range(300), random.randint(0, 12)), np.int64)
        due = [random.choice((NEVER_MS, now_ms + random.randint(-3, 60))) for _ in rows]
        evses.expires_ms[rows] = due
        evses.live[rows] = evses.expires_ms[rows] > now_ms
        wheel.schedule(rows)
        if random.random() < 0.2:
            evses.live[random.randrange(300)] = False  # taken out of the world
        now_ms += random.choice((0, 1, 1, 5, 20))
        overdue = set(np.flatnonzero(evses.live & (evses.expires_ms <= now_ms)).tolist())
        while wheel.next_ms <= now_ms:
            over = wheel.expire(now_ms)
            assert len(over) < 5 + 8
            assert set(over.tolist()) <= overdue
            overdue -= set(over.tolist())
        assert overdue == set()
        assert len(wheel.expire(now_ms)) == 0
        live = evses.expires_ms[evses.live]
        assert wheel.next_ms <= live.min(initial=NEVER_MS)
        assert not (evses.live & (evses.expires_ms <= now_ms)).any()


def world_of(*evses: int) -> World:
    """Station num 1, 2 … with so many EVSEs, all AVAILABLE since START_MS."""
    world = World()
    told = [
        Told(num, 1, make_station(num, 0.001 * num, 0, [make_evse(slot) for slot in range(count)]))
        for num, count in enumerate(evses, 1)
    ]
    states = [
        State(num, slot, 2, Status.AVAILABLE, START_MS, START_MS)
        for num, count in enumerate(evses, 1)
        for slot in range(count)
    ]
    world.put([record(one) for one in told], packed(states), START_MS)
    return world


def free(world: World) -> int:
    return int(world.stations.counts[world.shown_rows(), Availability.FREE].sum())


def test_the_last_millisecond_of_a_ttl_is_live_and_the_next_is_not() -> None:
    world = world_of(2)
    assert world.next_due_ms == START_MS + 900_000
    world.advance(START_MS + 899_999)
    assert free(world) == 2
    world.advance(START_MS + 900_000)
    assert free(world) == 0
    assert world.next_due_ms > START_MS + 900_000


def test_a_party_has_its_own_ttl_and_a_new_one_holds_at_once() -> None:
    world = world_of(1, 1)
    world.set_parties({party_of(1): PartyClock(60), party_of(2): PartyClock(None)}, START_MS)
    assert free(world) == 1  # a register has no live status
    world.advance(START_MS + 60_000)
    assert free(world) == 0
    world.set_parties({party_of(1): PartyClock(61)}, START_MS + 60_000)
    assert free(world) == 1
    world.set_parties({party_of(1): PartyClock(10)}, START_MS + 60_001)
    assert free(world) == 0


class Changes:
    """An observer that counts what it is told."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def changed(self, rows: Rows) -> None:
        self.rows += rows.tolist()

    def confirmed(self, rows: Rows) -> None:
        pass

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        pass


def test_a_heartbeat_changes_nothing_for_those_who_only_look_at_statuses() -> None:
    """A party of 100,000 stations that says "still so" every minute must not cost 100,000 tiles a minute."""
    world, changes = world_of(3, 2, 1), Changes()
    world.observe(changes)
    world.set_parties({party_of(1): PartyClock(900, START_MS + 1000)}, START_MS + 1000)
    world.confirm(np.array([2]), np.array([0]), np.array([START_MS + 1000]), START_MS + 1000)
    assert changes.rows == []
    world.advance(START_MS + 900_000)
    assert {int(world.stations.num[row]) for row in changes.rows} == {2, 3}  # of 2 one EVSE was confirmed


def test_a_whole_world_that_falls_silent_expires_in_bounded_steps() -> None:
    """Each step is short enough for requests to pass in between, and the steps together leave nothing out."""
    count = 70
    world = world_of(*[count] * ((ROWS_AT_ONCE + 2 * BLOCK) // count + 1))
    total = free(world)
    assert total > ROWS_AT_ONCE + BLOCK
    steps = 0
    while world.next_due_ms <= START_MS + 900_000:
        before = free(world)
        world.advance(START_MS + 900_000)
        assert before - free(world) <= ROWS_AT_ONCE + BLOCK
        steps += 1
    assert (free(world), steps) == (0, 2)


def test_the_evses_of_one_party_expire_at_once_though_they_are_scattered() -> None:
    """One EVSE in each of 40 blocks: few rows, so one step, whatever the number of blocks to look at."""
    world = world_of(*([BLOCK - 1, 1] * 3))
    lone = {party: PartyClock(10 if party == party_of(2) else 900) for party in map(party_of, range(3))}
    world.set_parties(lone, START_MS)
    before = free(world)
    world.advance(START_MS + 10_000)
    assert world.next_due_ms > START_MS + 10_000
    assert free(world) < before
