"""Worlds to test with: places that are hard, stations and states at random, and the machine that feeds a World and its
oracle the same changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import h3.api.basic_int as h3
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from geo.connectors import CONNECTOR_TYPES
from geo.filters import FACILITIES, ConnectorFilter, Filter
from geo.hours import zone_for
from geo.party_clocks import PartyClock
from geo.record import STATE, States, StationRecord, make_record, tombstone
from geo.station import Connector, Evse, ExceptionalPeriod, Hours, RegularHours, Station, Status, encode_doc
from geo.world import World
from tests.geo.model_world import ModelWorld, State, Told, shard_of

TORTURE = os.environ.get("TORTURE") == "1"
START_MS = 1_790_000_000_000  # Monday 2026-09-21 14:13:20 UTC

_PENTAGON = h3.cell_to_latlng(next(cell for cell in h3.get_pentagons(7) if abs(h3.cell_to_latlng(cell)[0]) < 60))
PLACES: tuple[tuple[float, float], ...] = (
    (48.8566, 2.3522), (48.8566, 2.3522), (48.8567, 2.3523), (48.8580, 2.3500), (48.9, 2.3), (48.7, 2.9), (49.4, 2.1),
    (-16.5, 179.9995), (-16.5, -179.9995), (-16.5, 180.0), (-16.5, -180.0), (-16.9, -179.2),
    (90.0, 0.0), (90.0, 77.0), (89.99, -170.0), (89.5, 10.0), (-90.0, 0.0), (-89.95, -60.0), (86.0, 20.0),
    (0.0, 0.0), (0.0, -0.0001), (64.1, -21.9), _PENTAGON, (_PENTAGON[0] + 0.001, _PENTAGON[1] - 0.02),
)  # fmt: skip

PARTIES = ("DE*ABC", "FR*XYZ", "irve")
OPERATORS = ("", "Ionity", "IONITY", "Straße AG", "fr*xyz")
PLUGS = ("CHADEMO", "IEC_62196_T2", "IEC_62196_T2_COMBO")
POWERS = (None, 3.7, 11.0, 22.1, 150.0, 349.9, 350.0)
SLOTS: tuple[Sequence[int], ...] = ((), (0,), (0, 1), (0, 1, 2), (1,), (0, 2), (0, 63), (1, 64), range(70))
EVERY_DAY = tuple(range(1, 8))
NIGHT = Hours(regular_hours=tuple(RegularHours(day, "22:00", "06:00") for day in EVERY_DAY))
DAY = Hours(regular_hours=tuple(RegularHours(day, "08:00", "18:30") for day in EVERY_DAY[:5]))
CLOSED_SOON = Hours(
    twentyfourseven=True, exceptional_closings=(ExceptionalPeriod(START_MS + 600_000, START_MS + 4_000_000),)
)
HOURS = {"": None, "always": Hours(twentyfourseven=True), "night": NIGHT, "day": DAY, "closing": CLOSED_SOON}
assert set(PLUGS) < set(CONNECTOR_TYPES)


def examples(few: int, *, torture: int = 30) -> settings:
    """So many hypothesis examples, `torture` times as many under TORTURE=1. Failures print how to run them again;
    SHRINK=0 shows them as found, at once."""
    return settings(
        phases=[phase for phase in Phase if phase is not Phase.shrink or os.environ.get("SHRINK") != "0"],
        max_examples=few * torture if TORTURE else few,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def party_of(num: int) -> str:
    """A station's party is part of its identity."""
    return PARTIES[num % len(PARTIES)]


def make_station(num: int, lat: float, lon: float, evses: Sequence[Evse] = (), **told: Any) -> Station:
    return Station(
        party=party_of(num), location_id=f"L{num}", lat=lat, lon=lon, last_updated_ms=START_MS, evses=tuple(evses),
        time_zone="Europe/Paris", name=f"Station {num}", **told,
    )  # fmt: skip


def make_evse(slot: int, plugs: Iterable[tuple[str, float | None]] = (("IEC_62196_T2", 22.1),)) -> Evse:
    connectors = [Connector(id=str(i), standard=name, power_kw=kw) for i, (name, kw) in enumerate(plugs)]
    return Evse(uid=f"E{slot}", slot=slot, connectors=tuple(connectors))


def some_plugs(random: Random) -> list[tuple[str, float | None]]:
    return random.choices([(name, kw) for name in PLUGS for kw in POWERS], k=random.randint(0, 3))


plugs = st.lists(st.tuples(st.sampled_from(PLUGS), st.sampled_from(POWERS)), max_size=2)


def some_station(
    num: int, place: tuple[float, float], slots: Sequence[int], plugs: list[list[tuple[str, float | None]]],
    operator: str, facilities: list[str], hours: str,
) -> Station:  # fmt: skip
    evses = [make_evse(slot, plugs[i % len(plugs)]) for i, slot in enumerate(slots)]
    return make_station(
        num, *place, evses, operator=operator or None, facilities=tuple(facilities), opening_times=HOURS[hours]
    )


stations = st.builds(
    some_station, st.integers(1, 6), st.sampled_from(PLACES), st.sampled_from(SLOTS),
    st.lists(plugs, min_size=1, max_size=3), st.sampled_from(OPERATORS),
    st.lists(st.sampled_from(FACILITIES[:3]), max_size=2), st.sampled_from(sorted(HOURS)),
)  # fmt: skip
connector_filters = st.builds(
    ConnectorFilter,
    st.sampled_from(((), ("CHADEMO",), ("IEC_62196_T2",), ("CHADEMO", "IEC_62196_T2_COMBO"))),
    st.sampled_from((None, None, 0.0, 22.1, 200.0)),
    st.sampled_from((None, None, 22.1, 349.9)),
)
filters = st.builds(
    Filter,
    connector_filters,
    st.sampled_from((0, 0, 1, 2, 66)),
    st.sampled_from(((), (), ("ionity",), ("strasse ag", "de*abc"), ("fr*xyz",))),
    st.sampled_from(((), (), ("irve",), ("ionity",))),
    st.sampled_from(((), (), ("HOTEL",), ("CAFE", "HOTEL"))),
    st.sampled_from((False, False, True)),
)
# Filters that let many stations through, each for another reason to change its mind.
USEFUL = (
    Filter(available=1), Filter(open_now=True), Filter(ConnectorFilter(("CHADEMO", "IEC_62196_T2"))),
    Filter(exclude_operators=("ionity",)), Filter(ConnectorFilter(min_power_kw=0.0), available=1),
)  # fmt: skip
queries = st.tuples(
    st.sampled_from(PLACES) | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    st.sampled_from((1.0, 150.0, 3_000.0, 40_000.0, 200_000.0)),
    st.sampled_from((1, 2, 3, 20, 1000)),
)
slots = st.sampled_from((0, 0, 0, 0, 1, 1, 2, 63, 64, 69))
bumps = st.sampled_from(
    (1, 1, 2, 1, 0, -1, -4, -15)
)  # how far a number is from the next one: negative ones come late, 0 comes again
ages_ms = st.sampled_from((None, 0, 1000, 899_000, 899_999, 900_000, 2_000_000))  # None: never reported


def packed(states: Iterable[State]) -> States:
    """As they stand in a stream entry."""
    rows = [(s.num, s.n, s.changed_ms, s.seen_ms, s.slot, s.status, b"") for s in states]
    return np.array(rows, STATE)


def record(told: Told) -> StationRecord:
    if told.station is None:
        return tombstone(told.num, told.n)
    return make_record(told.station, told.num, told.n, encode_doc, zone_for)


class WorldMachine(RuleBasedStateMachine):
    """Every change goes to the world and to the oracle. Subclasses compare what interests them in `check`."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.model = ModelWorld(START_MS)
        self.n = 1
        self.sent: list[tuple[list[Told], list[State]]] = []

    def record(self, told: Told) -> StationRecord:
        return record(told)

    @property
    def now_ms(self) -> int:
        return self.model.now_ms

    def _number(self, bump: int) -> int:
        n = max(1, self.n + bump)
        self.n = max(self.n, n)
        return n

    def _states(self, drawn: list[tuple[int, int, int, Status, int | None]]) -> list[State]:
        return [
            State(num, slot, self._number(bump), status, *((0, 0) if age is None else (self.now_ms - age - 5,
                                                                                       self.now_ms - age)))
            for num, slot, bump, status, age in drawn
        ]  # fmt: skip

    drawn_states = st.lists(
        st.tuples(st.integers(1, 7), slots, bumps, st.sampled_from(list(Status)), ages_ms), max_size=10
    )
    drawn_stations = st.lists(st.tuples(stations, bumps, st.integers(0, 5)), max_size=4)

    @initialize(drawn=st.lists(stations, max_size=9))
    def begin(self, drawn: list[Station]) -> None:
        """Often with something there: every EVSE told AVAILABLE."""
        self.put([(station, 1, 1) for station in drawn], [])
        there = [(num, slot) for num, at in self.model.stations.items() for slot in at.evses]
        self.put_states([(num, slot, 1, Status.AVAILABLE, 0) for num, slot in there])

    @rule(drawn=drawn_stations, states=drawn_states)
    def put(
        self, drawn: list[tuple[Station, int, int]], states: list[tuple[int, int, int, Status, int | None]]
    ) -> None:
        """One in six is a tombstone. Each number of a batch is taken once: one n is one content."""
        told: dict[tuple[int, int], Told] = {}
        for station, bump, kind in drawn:
            num, n = int(station.location_id[1:]), self._number(bump)
            told[num, n] = Told(num, n, station if kind else None)
        self._send(list(told.values()), self._states(states))

    @rule(states=drawn_states)
    def put_states(self, states: list[tuple[int, int, int, Status, int | None]]) -> None:
        self._send([], self._states(states))

    @rule(which=st.integers(0, 30))
    def send_again(self, which: int) -> None:
        """A replay of the stream: what was sent before comes once more, as it was."""
        if which < len(self.sent):
            self._send(*self.sent[which])

    def _send(self, told: list[Told], states: list[State]) -> None:
        self.sent.append((told, states))
        if told:
            self.world.put([self.record(t) for t in told], packed(states), self.now_ms)
        else:
            self.world.put_states(packed(states), self.now_ms)
        self.model.put(told, states)

    @rule(drawn=st.lists(st.tuples(st.integers(1, 7), slots, st.sampled_from((0, 1, 5000, 950_000))), max_size=6))
    def confirm(self, drawn: list[tuple[int, int, int]]) -> None:
        seen = [(num, slot, self.now_ms - age) for num, slot, age in drawn]
        columns = np.array(seen, np.int64).reshape(-1, 3).T
        self.world.confirm(columns[0], columns[1], columns[2], self.now_ms)
        self.model.confirm(seen)

    @rule(
        clocks=st.dictionaries(
            st.sampled_from(PARTIES), st.tuples(st.sampled_from((None, 1, 900)), st.sampled_from((0, 500, 800_000)))
        )
    )
    def set_parties(self, clocks: dict[str, tuple[int | None, int]]) -> None:
        """A heartbeat so long ago; it never goes back."""
        at = {
            party: (ttl_s, max(self.model.clocks.get(party, (900, 0))[1], self.now_ms - ago if ago else 0))
            for party, (ttl_s, ago) in clocks.items()
        }
        self.world.set_parties({party: PartyClock(*clock) for party, clock in at.items()}, self.now_ms)
        self.model.set_parties(at)

    @rule(of=st.integers(1, 6), nums=st.sets(st.integers(1, 6)), age=st.sampled_from((0, 0, 3, 20)))
    def keep_only(self, of: int, nums: set[int], age: int) -> None:
        shard, n = shard_of(make_station(of, 0, 0)), self.n - age
        self.world.keep_only(shard, np.array(list(nums), np.int64), n)
        self.model.keep_only(shard, nums, n)

    @rule(of=st.integers(1, 6))
    def forget_versions(self, of: int) -> None:
        shard = shard_of(make_station(of, 0, 0))
        self.world.forget_versions(self.world.rows_of_shard(shard))
        self.model.forget_versions(shard)

    @rule(seconds=st.sampled_from((0.001, 0.999, 1, 60, 899, 900, 901, 8 * 3600)))
    def pass_time(self, seconds: float) -> None:
        self.model.now_ms += int(seconds * 1000)

    @invariant()
    def agrees(self) -> None:
        self.world.advance(self.now_ms)
        self.check()

    def check(self) -> None:
        raise NotImplementedError

    def rows(self) -> dict[int, int]:
        """Row by num, of what is shown."""
        return {int(self.world.stations.num[row]): int(row) for row in self.world.shown_rows()}

    def rebuilt(self) -> World:
        """A world made at once from what the oracle holds now."""
        model, world = self.model, World()
        world.set_parties({party: PartyClock(*clock) for party, clock in model.clocks.items()}, self.now_ms)
        told = [Told(num, max(1, at.n), at.station) for num, at in model.stations.items()]
        states = [
            State(num, slot, max(1, e.n), e.status, e.changed_ms, e.seen_ms)
            for num, at in model.stations.items()
            for slot, e in at.evses.items()
        ]
        world.put([self.record(t) for t in told], packed(states), self.now_ms)
        return world
