"""Look-up by EVSE id against plain search, through every change of the world; a hash alone never decides."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

import geo.evse_ids
from geo.evse_ids import EvseIds, SlotId, normal
from geo.record import StationRecord
from geo.station import Station, Status, decode_doc
from geo.world import World
from tests.geo.model_world import REMOVED, State, Told
from tests.geo.worlds import START_MS, WorldMachine, examples, make_evse, make_station, packed, record

# Several spellings of few ids: stations share them, and documents exchange them.
SPELLINGS = (
    "DE*ABC*E1*1",
    "DEABCE11",
    "de-abc-e1-1",
    "FR*XYZ*E2",
    "fr xyz e2",
    "+49*810*000*438",
    "49 810 000 438",
    "*",
    None,
)
WANTED = ("deabce11", "frxyze2", "49810000438", "nobody")


def with_ids(station: Station) -> Station:
    """Ids that another document of the same station may not have."""

    def evse_id(slot: int) -> str | None:
        seed = f"{station.location_id}{station.operator}{station.facilities}{slot}"
        return SPELLINGS[zlib.crc32(seed.encode()) % len(SPELLINGS)]

    evses = tuple(msgspec.structs.replace(evse, evse_id=evse_id(evse.slot)) for evse in station.evses)
    return msgspec.structs.replace(station, evses=evses)


def ids_of(doc: bytes) -> Iterator[SlotId]:
    return (SlotId(evse.slot, evse.evse_id) for evse in decode_doc(doc).evses if evse.evse_id)


def caught_up(index: EvseIds, most: int = 1) -> EvseIds:
    while not index.catch_up(most):
        pass
    return index


@pytest.fixture(autouse=True)
def merges_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.evse_ids, "MERGE_AT_LEAST", 3)


class FoundByTheirIds(WorldMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = EvseIds(self.world, ids_of)

    def record(self, told: Told) -> StationRecord:
        return record(told if told.station is None else told._replace(station=with_ids(told.station)))

    @rule(most=st.integers(0, 3))
    def catch_up_a_little(self, most: int) -> None:
        self.index.catch_up(most)

    def check(self) -> None:
        rows = self.rows()
        for index in (caught_up(self.index), caught_up(EvseIds(self.world, ids_of), 100)):
            for wanted in WANTED:
                expected = [
                    rows[num]
                    for num, at in self.model.stations.items()
                    if any(
                        evse.evse_id and normal(evse.evse_id) == wanted and at.evses[evse.slot].status != REMOVED
                        for evse in with_ids(at.station).evses
                    )
                ]
                assert index.rows(wanted) == sorted(expected)


TestEvseIds = FoundByTheirIds.TestCase
TestEvseIds.settings = examples(25)


@pytest.mark.parametrize(
    "spelling", ["DE*ABC*E1234*5", "DEABCE12345", "de-abc-e1234-5", " De abc\u00a0E12345 ", "+DEABCE12345"]
)
def test_an_id_is_one_however_it_is_written(spelling: str) -> None:
    assert normal(spelling) == "deabce12345"


def world_of(*ids: str) -> World:
    world = World()
    stations = [
        make_station(num, 48.0, 2.0, [msgspec.structs.replace(make_evse(0), evse_id=one)])
        for num, one in enumerate(ids, 1)
    ]
    world.put([record(Told(num, 1, one)) for num, one in enumerate(stations, 1)], packed([]), START_MS)
    return world


def test_ids_of_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.evse_ids, "hash", lambda _: 7, raising=False)
    index = caught_up(EvseIds(world_of("A1", "B2", "a-1", "C3"), ids_of))
    assert (index.rows("a1"), index.rows("b2"), index.rows("d4")) == ([0, 2], [1], [])


def test_a_removed_evse_is_not_found_until_it_is_back() -> None:
    world = world_of("A1")
    index = caught_up(EvseIds(world, ids_of))
    for n, (status, found) in enumerate(((Status.REMOVED, []), (Status.AVAILABLE, [0])), 2):
        world.put_states(packed([State(1, 0, n, status, START_MS, START_MS)]), START_MS)
        assert index.rows("a1") == found


def test_the_index_does_not_grow_with_the_number_of_changes() -> None:
    world = world_of(*(f"E{i}" for i in range(50)))
    index = caught_up(EvseIds(world, ids_of))
    before = index.nbytes
    for num in range(1, 51):
        station = make_station(num, 48.0, 2.0, [msgspec.structs.replace(make_evse(0), evse_id=f"E{num - 1}")])
        for n in range(2, 12):
            world.put([record(Told(num, n, station))], packed([]), START_MS)
            caught_up(index)
    assert index.rows("e0") == world.rows_by_num(1, 2).tolist()
    assert index.nbytes <= before + 200


def test_an_entry_that_another_replaces_is_nobody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in a table that is full to its last row."""
    monkeypatch.setattr(geo.evse_ids, "MERGE_AT_LEAST", 10**6)
    world = world_of(*["A1"] * 1024)
    assert world.stations.capacity == 1024
    index = caught_up(EvseIds(world, ids_of), 1024)
    last = make_station(1024, 48.0, 2.0, [msgspec.structs.replace(make_evse(0), evse_id="a-1")])
    world.put([record(Told(1024, 2, last))], packed([]), START_MS)
    assert caught_up(index).rows("a1") == list(range(1024))


def test_reading_is_done_in_slices() -> None:
    index = EvseIds(world_of(*(f"E{i}" for i in range(10))), ids_of)
    assert [index.catch_up(4) for _ in range(3)] == [False, False, True]
    assert index.rows("e9") == [9]
