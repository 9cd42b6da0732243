"""Selection over many stations at once against the oracle, one by one."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from geo.filters import NO_FILTER, ConnectorFilter, Filter
from geo.party_clocks import PartyClock
from geo.select import select
from geo.station import Status
from geo.world import World
from tests.geo.comparing import assert_selected
from tests.geo.model_world import ModelWorld, State, Told
from tests.geo.worlds import (
    HOURS,
    OPERATORS,
    PARTIES,
    POWERS,
    SLOTS,
    START_MS,
    TORTURE,
    make_evse,
    make_station,
    packed,
    record,
    some_plugs,
)  # fmt: skip


def some_world(random: Random, count: int) -> tuple[World, ModelWorld]:
    """Stations of all kinds, of which one in twelve has an EVSE that is REMOVED though its document names it."""
    told, states = [], []
    for num in range(1, count + 1):
        slots = random.choice(SLOTS)
        evses = [make_evse(s, some_plugs(random)) for s in slots]
        told.append(
            Told(num, 1, make_station(
                num, 48 + random.random(), 2 + random.random(), evses, operator=random.choice(OPERATORS) or None,
                facilities=tuple(random.sample(("HOTEL", "CAFE", "WIFI", "SAUNA"), random.randint(0, 2))),
                opening_times=random.choice(list(HOURS.values())),
            ))
        )  # fmt: skip
        statuses = list(Status) if random.random() < 0.5 else [Status.AVAILABLE, Status.CHARGING]
        states += [State(num, s, 2, random.choice(statuses), START_MS, START_MS - random.choice((0, 899_999, 900_000)))
                   for s in slots if random.random() < 0.8]  # fmt: skip
    world, model = World(), ModelWorld(START_MS)
    world.set_parties({PARTIES[2]: PartyClock(None)}, START_MS)
    model.set_parties({PARTIES[2]: (None, 0)})
    world.put([record(one) for one in told], packed(states), START_MS)
    model.put(told, states)
    return world, model


def some_filter(random: Random) -> Filter:
    def perhaps(*values: tuple[str, ...]) -> tuple[str, ...]:
        return random.choice(values) if random.random() < 0.3 else ()

    return Filter(
        ConnectorFilter(
            tuple(sorted(perhaps(("CHADEMO",), ("CHADEMO", "IEC_62196_T2"), ("MCS",)))),
            random.choice((None, None, *(kw for kw in POWERS if kw))),
            random.choice((None, None, *(kw for kw in POWERS if kw))),
        ),
        random.choice((0, 0, 0, 1, 2, 60)),
        perhaps(("ionity",), ("strasse ag",), ("de*abc", "irve"), ("nobody",)),
        perhaps(("ionity",), ("fr*xyz",)),
        perhaps(("HOTEL",), ("CAFE", "WIFI")),
        random.random() < 0.2,
    )


@pytest.mark.parametrize("seed", range(50 if TORTURE else 3))
def test_many_stations_at_once_are_as_one_by_one(seed: int) -> None:
    random = Random(seed)
    world, model = some_world(random, 200)
    rows = world.shown_rows()
    kept = 0
    for _ in range(60):
        wanted = some_filter(random)
        assert_selected(world, model, rows, wanted)
        kept += int(select(world, rows, wanted).keep.sum())
    assert kept > 500  # the filters are not all too narrow to show anything


def test_no_filter_keeps_everything_and_no_rows_give_none() -> None:
    world, _ = some_world(Random(0), 30)
    everything = select(world, world.shown_rows(), NO_FILTER)
    assert everything.keep.all() and not everything.unknown_hours.any()
    nothing = np.zeros(0, np.int32)
    for wanted in (
        NO_FILTER,
        some_filter(Random(1)),
        Filter(ConnectorFilter(("MCS",)), 1, ("a",), ("b",), ("CAFE",), True),
    ):
        for empty in (select(world, nothing, wanted), select(World(), nothing, wanted)):
            assert (empty.keep.shape, empty.counts.shape, empty.max_kw.shape) == ((0,), (0, 4), (0,))


def test_bounds_belong_to_the_range_and_hold_on_the_same_connector() -> None:
    world = World()
    station = make_station(
        1, 0, 0, [make_evse(0, [("CHADEMO", 50.0), ("IEC_62196_T2", 22.0)]), make_evse(1, [("MCS", None)])]
    )
    world.put([record(Told(1, 1, station))], packed([]), START_MS)
    rows = world.shown_rows()

    def kw(*connectors: str, low: float | None = None, high: float | None = None) -> float | None:
        chosen = select(world, rows, Filter(ConnectorFilter(connectors, low, high)))
        return round(float(chosen.max_kw[0]), 1) if chosen.keep[0] else None

    assert kw(low=22.0, high=22.0) == 22.0
    assert kw(low=50.0) == kw(low=22.1) == 50.0
    assert kw("IEC_62196_T2", low=22.1) is None
    assert kw(low=22.1, high=49.9) is None
    assert kw("MCS") == 0.0
    assert kw("MCS", low=0.0) is None  # a power that is not known is in no range
