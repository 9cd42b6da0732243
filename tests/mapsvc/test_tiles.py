"""Tiles: patched == freshly rendered == the oracle's, ETag ⇔ bytes, never older than they may be. Promises R5 and R7."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

import mapsvc.tiles
from geo.filters import NO_FILTER, Filter
from geo.record import States, StationRecord
from geo.station import Status
from geo.tilemath import Tile
from geo.world import World
from mapsvc.tiles import AGGREGATE_EVERY_MS, MIN_STATION_ZOOM, STATION_EVERY_MS, Published, Tiles
from tests.geo.model_world import CLASSES, Feature, State, Told, mercator
from tests.geo.worlds import START_MS, PLACES, WorldMachine, examples, filters, make_evse, make_station, packed, record

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


class Etags:
    """Equal ETag ⇔ equal bytes, over everything that was ever published."""

    def __init__(self) -> None:
        self._body: dict[str, bytes] = {}
        self._etag: dict[bytes, str] = {}

    def note(self, published: Published) -> None:
        sent = [(published.etag, published.body)]
        if published.gzipped is not None:
            sent.append((published.gzip_etag, published.gzipped))
        for etag, body in sent:
            assert self._body.setdefault(etag, body) == body
            assert self._etag.setdefault(body, etag) == etag


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles without the pause between two publications, so that every change can be looked at."""
    monkeypatch.setattr(mapsvc.tiles, "STATION_EVERY_MS", 0)
    monkeypatch.setattr(mapsvc.tiles, "AGGREGATE_EVERY_MS", 0)


class PatchedIsFresh(WorldMachine):
    """After every change: what the tiles kept and patched, what tiles of a world built at once render, and the oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = Tiles(self.world)
        self.wanted = NO_FILTER
        self.etags = Etags()
        self.step = 0
        self.filled: list[set[tuple[int, int]]] = [set() for _ in range(15)]

    @rule(wanted=filters)
    def look_through(self, wanted: Filter) -> None:
        self.wanted = wanted

    def check(self) -> None:
        self.step += 1
        fresh = Tiles(self.rebuilt())
        for z in (self.step % 11, 11 + self.step % 4):
            for wanted in {NO_FILTER, self.wanted}:
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


@pytest.mark.usefixtures("at_once")
class TestPatchedIsFresh(PatchedIsFresh.TestCase):  # type: ignore[name-defined,misc]
    settings = examples(25)


WATCHED = [Tile(z, at.x, at.y) for z in (0, 6, 10, 11, 14) for at in (mercator(*PLACES[0], z), mercator(*PLACES[8], z))]


class NeverTooOld(WorldMachine):
    """What is sent was true less than STATION_EVERY_MS or AGGREGATE_EVERY_MS ago, whoever asked for what before."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = Tiles(self.world)
        self.truth: dict[tuple[Tile, Filter], list[tuple[int, bytes]]] = {}
        self.watched = [NO_FILTER]

    @initialize(wanted=st.lists(filters, max_size=2))
    def watch(self, wanted: list[Filter]) -> None:
        self.watched += wanted

    @rule(ms=st.sampled_from((1, 50, 99, 100, 101, 400, 600, 900, 999, 1000, 1001, 900_000)))
    def pass_time(self, ms: int) -> None:
        self.model.now_ms += ms

    @rule(which=st.sets(st.integers(0, 29), min_size=1, max_size=3))
    def get(self, which: set[int]) -> None:
        asked = [(tile, wanted) for tile in WATCHED for wanted in self.watched]
        for tile, wanted in (asked[i % len(asked)] for i in which):
            every_ms = STATION_EVERY_MS if tile.z >= MIN_STATION_ZOOM else AGGREGATE_EVERY_MS
            body = self.tiles.get(tile, wanted, self.now_ms).body
            recent = [true for at_ms, true in self.truth[tile, wanted] if self.now_ms - at_ms < every_ms]
            assert body in recent

    def check(self) -> None:
        fresh = Tiles(self.rebuilt())
        for tile in WATCHED:
            for wanted in self.watched:
                body = fresh.get(tile, wanted, self.now_ms).body
                self.truth.setdefault((tile, wanted), []).append((self.now_ms, body))


class TestNeverTooOld(NeverTooOld.TestCase):  # type: ignore[name-defined,misc]
    settings = examples(25)


# -- one by one -------------------------------------------------------------------------------------------------------

PARIS, LYON = (48.8566, 2.3522), (45.764, 4.8357)
WORLD = Tile(0, 0, 0)
FREE = Filter(available=1)


def free_at(num: int, place: tuple[float, float], n: int, seen_ms: int) -> tuple[list[StationRecord], States]:
    """A station with one EVSE, AVAILABLE."""
    told = Told(num, n, make_station(num, *place, [make_evse(0)]))
    return [record(told)], packed([State(num, 0, n, Status.AVAILABLE, seen_ms, seen_ms)])


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
    assert counts(tiles, tile, FREE, START_MS + 1500) == {"free": 2 if z == 0 else 1, "unknown": 0}
