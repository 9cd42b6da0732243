"""Tiles: patched == freshly rendered == the oracle's, ETag ⇔ bytes, never older than they may be. Promises R5 and R7."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import mapbox_vector_tile
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize

import geo.sorted_rows
import mapsvc.tiles
from geo.filters import NO_FILTER, Filter
from geo.party_clocks import PartyClock
from geo.record import States, StationRecord, tombstone
from geo.station import Status
from geo.tilemath import Tile
from geo.world import World
from mapsvc.problems import Unavailable
from mapsvc.tiles import AGGREGATE_EVERY_MS, MIN_STATION_ZOOM, STATION_EVERY_MS, Published, Tiles
from tests.geo.history import History, at_once, in_order, torn_snapshot_and_replay
from tests.geo.model_world import CLASSES, Feature, State, Told, mercator
from tests.geo.worlds import (
    START_MS,
    TORTURE,
    USEFUL,
    WorldMachine,
    examples,
    filters,
    make_evse,
    make_station,
    packed,
    record,
)


def decoded(body: bytes, layer: str) -> dict[int, dict[str, Any]]:
    """Features by id; they stand in rising order of id, each once."""
    if not body:
        return {}
    layers = mapbox_vector_tile.decode(body, default_options={"y_coord_down": True})
    assert layers.keys() == {layer}
    assert (layers[layer]["extent"], layers[layer]["version"]) == (4096, 2)
    features = layers[layer]["features"]
    assert [f["id"] for f in features] == sorted({f["id"] for f in features})
    return {f["id"]: f for f in features}


def layer_of(z: int) -> str:
    return "stations" if z >= MIN_STATION_ZOOM else "aggregates"


def assert_shows(body: bytes, z: int, expected: dict[int, Feature]) -> None:
    features = decoded(body, layer_of(z))
    assert features.keys() == expected.keys()
    for feature_id, feature in features.items():
        assert feature["properties"] == expected[feature_id].properties
        assert feature["geometry"]["type"] == "Point"
        assert expected[feature_id].place.shows_at(*feature["geometry"]["coordinates"])


WORLD = Tile(0, 0, 0)
FREE = Filter(available=1)
PARIS, LYON = (48.8566, 2.3522), (45.764, 4.8357)
AFAR = [(48.0, 30.0 * turn - 180.0) for turn in range(12)]  # a cell of resolution 0 each


def free_at(num: int, place: tuple[float, float], n: int, seen_ms: int) -> tuple[list[StationRecord], States]:
    """A station with one EVSE, AVAILABLE."""
    told = Told(num, n, make_station(num, *place, [make_evse(0)]))
    return [record(told)], packed([State(num, 0, n, Status.AVAILABLE, seen_ms, seen_ms)])


class Etags:
    """Equal ETag ⇔ equal bytes, over everything that was ever published."""

    def __init__(self) -> None:
        self._body: dict[str, bytes] = {}
        self._etag: dict[bytes, str] = {}

    def note(self, published: Published) -> None:
        sent = [(published.etag, published.body)]
        if published.shrinks:
            sent.append((published.gzip_etag, published.gzipped))
        for etag, body in sent:
            assert self._body.setdefault(etag, body) == body
            assert self._etag.setdefault(body, etag) == etag


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles without the pause between two publications, so that every change can be looked at."""
    monkeypatch.setattr(mapsvc.tiles, "STATION_EVERY_MS", 0)
    monkeypatch.setattr(mapsvc.tiles, "AGGREGATE_EVERY_MS", 0)


class PatchedIsFresh(WorldMachine):
    """After every change: what the tiles kept and patched, what tiles of a world built at once render, and the oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = Tiles(self.world)
        self.etags = Etags()
        self.looks: list[tuple[int, Filter]] = []
        self.filled: list[set[tuple[int, int]]] = [set() for _ in range(15)]

    @initialize(
        sums=st.integers(0, 10),
        points=st.integers(11, 14),
        wanted=st.sampled_from(USEFUL) | filters,
        both=st.booleans(),
    )
    def look_at(self, sums: int, points: int, wanted: Filter, both: bool) -> None:
        """The same zooms and filter all along: only what was asked for before can be out of date. Not `both`: nobody asks
        for what is not filtered, so that the aggregates are behind."""
        self.looks = [(z, through) for z in (sums, points) for through in ((NO_FILTER, wanted) if both else (wanted,))]

    def check(self) -> None:
        fresh = Tiles(self.rebuilt())
        for z, wanted in self.looks:
            self._compare(z, wanted, fresh)

    def _compare(self, z: int, wanted: Filter, fresh: Tiles) -> None:
        expected = self.model.tiles(z, wanted)
        self.filled[z] |= expected.keys()  # what once held something is looked at for ever
        totals = dict.fromkeys(("count", *CLASSES), 0)
        for x, y in self.filled[z]:
            published = self.tiles.get(Tile(z, x, y), wanted, self.now_ms)
            assert published == fresh.get(Tile(z, x, y), wanted, self.now_ms)
            assert_shows(published.body, z, expected.get((x, y), {}))
            self.etags.note(published)
            for feature in expected.get((x, y), {}).values():
                for name in totals:
                    totals[name] += feature.properties.get(name, 0)
        if z < MIN_STATION_ZOOM:
            assert totals == self.model.totals(wanted)


TestPatchedIsFresh = pytest.mark.usefixtures("without_pauses")(PatchedIsFresh.TestCase)
TestPatchedIsFresh.settings = examples(25)


class PatchedInPieces(PatchedIsFresh):
    """Filtered aggregates are summed up cell by cell."""


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapsvc.tiles, "SUMMED_ROWS", 3)
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", 4)


TestPatchedInPieces = pytest.mark.usefixtures("without_pauses", "small_pieces")(PatchedInPieces.TestCase)
TestPatchedInPieces.settings = examples(10)


@pytest.mark.parametrize("seed", range(200 if TORTURE else 6))
def test_what_is_sent_was_true_less_than_its_pause_ago(seed: int) -> None:
    """Whoever asked for what before: STATION_EVERY_MS, AGGREGATE_EVERY_MS. Ten stations come, go, move and change."""
    random = Random(seed)
    world, now_ms, n = World(), START_MS, 1
    tiles = Tiles(world)
    places = [(PARIS[0] + random.gauss(0, 0.05), PARIS[1] + random.gauss(0, 0.05)) for _ in range(5)]
    asked = [(Tile(z, at.x, at.y), wanted) for z in (0, random.randint(1, 10), random.randint(11, 14))
             for at in [mercator(*PARIS, z)] for wanted in (NO_FILTER, random.choice(USEFUL))]  # fmt: skip
    truth: dict[tuple[Tile, Filter], list[tuple[int, bytes]]] = {key: [] for key in asked}
    stands: dict[int, tuple[list[StationRecord], States]] = {}
    for _ in range(250):
        n += 1
        num = random.randint(1, 10)
        if random.random() < 0.15:
            stands[num] = free_at(num, random.choice(places), n, now_ms)
            world.put(*stands[num], now_ms)
        elif random.random() < 0.1 and num in stands:
            del stands[num]
            world.put([tombstone(num, n)], packed([]), now_ms)
        elif random.random() < 0.2 and num in stands:
            stands[num] = stands[num][0], packed([State(num, 0, n, random.choice((1, 3)), now_ms, now_ms)])
            world.put_states(stands[num][1], now_ms)
        else:
            now_ms += random.choice((0, 1, 10, 50, 99, 100, 101, 400, 500, 600, 900, 999, 1000, 1001))
        world.advance(now_ms)
        new = World()
        for records, states in stands.values():
            new.put(records, states, now_ms)
        fresh = Tiles(new)
        for tile, wanted in asked:
            truth[tile, wanted].append((now_ms, fresh.get(tile, wanted, now_ms).body))
        for tile, wanted in random.sample(asked, random.choice((0, 0, 1, 2))):
            every_ms = STATION_EVERY_MS if tile.z >= MIN_STATION_ZOOM else AGGREGATE_EVERY_MS
            recent = [body for at_ms, body in truth[tile, wanted] if now_ms - at_ms < every_ms]
            assert tiles.get(tile, wanted, now_ms).body in recent


@pytest.mark.parametrize("seed", range(300 if TORTURE else 25))
def test_workers_that_learnt_it_otherwise_send_the_same_bytes(seed: int) -> None:
    """Two workers and a restart: equal ETag ⇔ equal bytes, and these are equal, though one was there from the beginning,
    one read torn snapshots and repeated streams, and one started when all was over."""
    random = Random(seed)
    places = [(PARIS[0] + random.gauss(0, 0.1), PARIS[1] + random.gauss(0, 0.1)) for _ in range(6)]
    history = History(random, places, 150)
    worlds = [World(), World(), World()]
    workers = [Tiles(world) for world in worlds[:2]]  # from the beginning; the third sees the end only
    clocks = {"FR*XYZ": PartyClock(600, START_MS + 300_000), "irve": PartyClock(None)}
    for world in worlds:
        world.set_parties(clocks, START_MS)
    in_order(history, worlds[0], record)
    torn_snapshot_and_replay(history, worlds[1], record, random)
    at_once(history, worlds[2], record, random)
    workers.append(Tiles(worlds[2]))
    told = [{w.key(row): w.evse_states(row) for row in w.shown_rows().tolist()} for w in worlds]
    assert told[0] == told[1] == told[2]
    etags = Etags()
    asked = [(Tile(z, *mercator(*place, z)[:2]), wanted) for z in (0, 5, 9, 11, 14) for place in places[:3]
             for wanted in (NO_FILTER, random.choice(USEFUL))]  # fmt: skip
    for later_ms in (0, 400_000, 599_999, 899_999, 10_000_000):
        now_ms = history.now_ms + later_ms
        for world in worlds:
            world.advance(now_ms)
        for tile, wanted in asked:
            sent = [worker.get(tile, wanted, now_ms) for worker in workers]
            assert sent[0] == sent[1] == sent[2]
            etags.note(sent[0])


# -- one by one -------------------------------------------------------------------------------------------------------


def counts(tiles: Tiles, tile: Tile, wanted: Filter, now_ms: int) -> dict[str, int]:
    """Sums over the features of a tile."""
    features = decoded(tiles.get(tile, wanted, now_ms).body, layer_of(tile.z)).values()
    return {name: sum(f["properties"][name] for f in features) for name in ("free", "unknown")}


def test_an_aggregate_tile_asked_for_late_is_not_older_than_any_other() -> None:
    """The sums are of the second before; a tile rendered from them is as old as they are."""
    world = World()
    tiles = Tiles(world)
    world.put(*free_at(1, PARIS, 1, START_MS), START_MS)
    assert counts(tiles, WORLD, NO_FILTER, START_MS) == {"free": 1, "unknown": 0}
    world.put(*free_at(2, PARIS, 2, START_MS), START_MS + 10)
    other = Tile(4, *mercator(*PARIS, 4)[:2])
    assert counts(tiles, other, NO_FILTER, START_MS + 900) == {"free": 1, "unknown": 0}
    assert counts(tiles, other, NO_FILTER, START_MS + 1010) == {"free": 2, "unknown": 0}


@pytest.mark.parametrize("z", [0, 4, 10])
def test_a_station_in_a_new_cell_comes_to_filtered_tiles_within_a_second(z: int) -> None:
    world = World()
    tiles = Tiles(world)
    world.put(*free_at(1, PARIS, 1, START_MS), START_MS)
    counts(tiles, WORLD, NO_FILTER, START_MS)
    world.put(*free_at(2, LYON, 2, START_MS), START_MS + 10)
    tile = Tile(z, *mercator(*LYON, z)[:2])
    counts(tiles, tile, FREE, START_MS + 500)
    assert counts(tiles, tile, FREE, START_MS + 1500) == {"free": 1 if z == 10 else 2, "unknown": 0}


@pytest.mark.usefixtures("small_pieces")
async def test_a_tile_that_sums_up_much_of_the_world_gives_others_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapsvc.tiles, "MAX_WAITING", 3)
    world = World()
    tiles = Tiles(world)
    for num in range(1, 11):
        world.put(*free_at(num, AFAR[num - 1], num, START_MS), START_MS)
    tiles.warm(START_MS)
    assert tiles.find(WORLD, FREE, START_MS) is None
    turns = 0

    async def another() -> None:
        nonlocal turns
        for turns in range(1, 100):  # noqa: B007 (counted)
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    asking = [asyncio.create_task(tiles.get_in_turns(WORLD, FREE, lambda: START_MS)) for _ in range(4)]
    with pytest.raises(Unavailable):
        await asking.pop()
    told = {published.body for published in [await one for one in asking]}
    assert turns >= 4  # of ten stations, three at a time
    assert told == {Tiles(world).get(WORLD, FREE, START_MS).body}
    assert tiles.find(WORLD, FREE, START_MS) is not None
    beside.cancel()


async def test_a_station_that_goes_while_a_tile_is_summed_up_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapsvc.tiles, "SUMMED_ROWS", 1)
    world = World()
    tiles = Tiles(world)
    for num in range(1, 4):
        world.put(*free_at(num, AFAR[num], num, START_MS), START_MS)
    tiles.warm(START_MS)
    asking = asyncio.create_task(tiles.get_in_turns(WORLD, FREE, lambda: START_MS))
    await asyncio.sleep(0)
    world.put([tombstone(num, 9) for num in range(1, 4)], packed([]), START_MS)
    assert (await asking).body == b""
    world.put(*free_at(4, LYON, 10, START_MS), START_MS)
    later = tiles.get(WORLD, FREE, START_MS + AGGREGATE_EVERY_MS)
    assert len(decoded(later.body, "aggregates")) == 1
