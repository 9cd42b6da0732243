"""Tiles: patched == freshly rendered == the oracle's, ETag ⇔ bytes, never older than they may be. Promises R5 and R7."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

import mapsvc.tiles
from geo.filters import NO_FILTER, Filter
from geo.tilemath import Tile
from mapsvc.tiles import AGGREGATE_EVERY_MS, MIN_STATION_ZOOM, STATION_EVERY_MS, Published, Tiles
from tests.geo.model_world import Feature, ModelWorld, mercator
from tests.geo.worlds import PLACES, WorldMachine, examples, filters

ZOOMS = range(15)


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


def assert_shows(body: bytes, layer: str, expected: dict[int, Feature]) -> None:
    features = decoded(body, layer)
    assert features.keys() == expected.keys()
    for feature_id, feature in features.items():
        assert feature["properties"] == expected[feature_id].properties
        assert feature["geometry"]["type"] == "Point"
        assert expected[feature_id].place.shows_at(*feature["geometry"]["coordinates"])


def assert_tile_is_true(model: ModelWorld, tile: Tile, wanted: Filter, body: bytes) -> None:
    if tile.z >= MIN_STATION_ZOOM:
        assert_shows(body, "stations", model.station_features(*tile, wanted))
    else:
        assert_shows(body, "aggregates", model.aggregate_features(tile.z, wanted).get((tile.x, tile.y), {}))


def tiles_of(z: int) -> list[Tile]:
    return sorted({Tile(z, at.x, at.y) for at in (mercator(*place, z) for place in PLACES)})


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

    @rule(wanted=filters)
    def look_through(self, wanted: Filter) -> None:
        self.wanted = wanted

    def check(self) -> None:
        self.step += 1
        fresh = Tiles(self.rebuilt())
        for z in (self.step % 11, 11 + self.step % 4):
            for wanted in {NO_FILTER, self.wanted}:
                shown = set(tiles_of(z))
                if z < MIN_STATION_ZOOM:
                    shown |= {Tile(z, *at) for at in self.model.aggregate_features(z, wanted)}
                for tile in shown:
                    published = self.tiles.get(tile, wanted, self.now_ms)
                    assert published == fresh.get(tile, wanted, self.now_ms)
                    assert_tile_is_true(self.model, tile, wanted, published.body)
                    self.etags.note(published)
                if z < MIN_STATION_ZOOM:
                    self._assert_sums(z, wanted)

    def _assert_sums(self, z: int, wanted: Filter) -> None:
        """What all tiles of the zoom say adds up to the world."""
        totals = dict.fromkeys(("count", "unknown", "free", "busy", "out_of_service"), 0)
        for at in self.model.aggregate_features(z, NO_FILTER):
            body = self.tiles.get(Tile(z, *at), wanted, self.now_ms).body
            for feature in decoded(body, "aggregates").values():
                for name in totals:
                    totals[name] += feature["properties"][name]
        assert totals == self.model.totals(wanted)


@pytest.mark.usefixtures("at_once")
class TestPatchedIsFresh(PatchedIsFresh.TestCase):  # type: ignore[name-defined,misc]
    settings = examples(25)
