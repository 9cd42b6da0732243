"""Road tiles: the one layer of Valhalla's that a map draws, asked for once and kept while the graph stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import mapbox_vector_tile
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from geo.protobuf import ProtobufError
from geo.tilemath import Tile
from mapsvc.problems import NotFound, Unavailable
from mapsvc.roads import tiles
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.graphs import Served
from mapsvc.roads.tiles import LAYER, MAX_ZOOM, MIN_ZOOM, RoadTiles, only_layer
from mapsvc.tiles import Published
from tests.geo.worlds import examples
from tests.mapsvc.roads.fake_valhalla import FakeValhalla, asking
from tests.mapsvc.roads.without import no_roads

HERE = Tile(12, 2126, 1413)
LINE = "LINESTRING(10 10, 200 300, 4000 20)"


def encoded(*names: str) -> bytes:
    """A tile with these layers, as Valhalla has them."""
    layers = [
        {"name": name, "features": [{"geometry": LINE, "properties": {"road_class": k, "name": name}}]}
        for k, name in enumerate(names)
    ]
    made: bytes = mapbox_vector_tile.encode(layers)
    return made


class TileValhalla(FakeValhalla):
    """`tile_of` a path: what it draws there."""

    def __init__(self, tile_of: Callable[[str], bytes] = lambda _: encoded("edges", "nodes")) -> None:
        super().__init__()
        self.tile_of = tile_of

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        answer = await super()._answer(request)
        drawn = answer.status == 200 and not self.fails
        return web.Response(body=self.tile_of(request.query["json"])) if drawn else answer


def turn_to(client: RoadsClient, graph: str) -> None:
    served = client.served()
    assert served is not None
    other = Served(served.url, graph, served.bbox)
    client.served = lambda: other  # type: ignore[method-assign]


# -- the layer ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("edges",), ("edges", "nodes"), ("nodes", "edges"), ("a", "edges", "b", "edgesx")])
def test_only_the_layer_of_that_name_stays_and_it_stays_as_it_was(names: tuple[str, ...]) -> None:
    whole = encoded(*names)
    left = only_layer(whole, "edges")
    assert mapbox_vector_tile.decode(left) == {"edges": mapbox_vector_tile.decode(whole)["edges"]}
    assert left in whole
    assert only_layer(left, "edges") == left


@pytest.mark.parametrize("whole", [b"", encoded(), encoded("nodes"), encoded("edge"), encoded("edgesx")])
def test_without_the_layer_the_tile_is_empty(whole: bytes) -> None:
    assert only_layer(whole, "edges") == b""


def test_a_tile_that_was_cut_is_none() -> None:
    whole = encoded("nodes", "edges")
    for end in range(1, len(whole) - 1):
        try:
            assert only_layer(whole[:end], "edges") == b""  # between the layers
            assert end == len(encoded("nodes"))
        except ProtobufError:
            pass


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda more: encoded("edges") + more))
@examples(100)
def test_random_bytes_raise_nothing_else(whole: bytes) -> None:
    with suppress(ProtobufError):
        assert only_layer(whole, "edges") in whole


# -- keeping --------------------------------------------------------------------------------------------------------------


async def test_a_tile_is_asked_for_once_however_many_wait_for_it_and_then_kept() -> None:
    fake = TileValhalla()
    fake.slow_s = 0.02
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        found = await asyncio.gather(*(kept.find(HERE) for _ in range(20)))
        again = await kept.find(HERE)
    assert fake.asked["tile"] == 1
    assert all(one is found[0] for one in [*found, again])
    assert mapbox_vector_tile.decode(again.body).keys() == {LAYER}
    assert kept.kept_bytes >= len(again.body) > 0


async def test_each_tile_is_asked_for_by_its_own_numbers() -> None:
    fake = TileValhalla(lambda asked: encoded("edges") if orjson.loads(asked)["tile"]["x"] % 2 else b"")
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        bodies = [(await kept.find(Tile(12, x, 5))).body for x in (1, 2, 3)]
    assert [bool(body) for body in bodies] == [True, False, True]


async def test_a_new_graph_has_tiles_of_its_own_and_those_of_the_old_one_go() -> None:
    fake = TileValhalla()
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        old = [await kept.find(Tile(12, x, 0)) for x in range(5)]
        one_tile = kept.kept_bytes / len(old)
        turn_to(client, "another")
        fake.tile_of = lambda _: encoded("edges") * 2
        new = await kept.find(Tile(12, 0, 0))
        assert fake.asked["tile"] == 6
        assert new.body != old[0].body
        assert kept.kept_bytes <= 2 * one_tile + 1
        assert await kept.find(Tile(12, 0, 0)) is new
        turn_to(client, "given")
        await kept.find(Tile(12, 0, 0))
        assert fake.asked["tile"] == 7


async def test_no_more_is_kept_than_there_is_room_for_and_what_was_asked_for_last_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = TileValhalla()
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        await kept.find(Tile(12, 0, 0))
        monkeypatch.setattr(tiles, "KEPT_BYTES", kept.kept_bytes * 3)
        for x in range(1, 10):
            await kept.find(Tile(12, x, 0))
            await kept.find(Tile(12, 0, 0))
            assert kept.kept_bytes <= tiles.KEPT_BYTES
        assert fake.asked["tile"] == 10
        await kept.find(Tile(12, 9, 0))
        assert fake.asked["tile"] == 10
        await kept.find(Tile(12, 2, 0))
        assert fake.asked["tile"] == 11


async def test_tiles_without_roads_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "KEPT_BYTES", 10_000)
    async with asking(TileValhalla(lambda _: b"")) as client:
        kept = RoadTiles(client, "")
        for x in range(150):
            await kept.find(Tile(14, x, 0))
    assert len(kept._kept) < 100  # each takes some hundred bytes of memory


async def test_who_leaves_takes_the_tile_from_nobody() -> None:
    fake = TileValhalla()
    fake.slow_s = 0.05
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        first, second = (asyncio.create_task(kept.find(HERE)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).body
        assert first.cancelled()
        assert (await kept.find(HERE)).body
    assert fake.asked["tile"] == 1


# -- when there is none ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zoom", [0, MIN_ZOOM - 1, MAX_ZOOM + 1, 22])
async def test_zooms_that_are_not_drawn_are_not_asked_for(zoom: int) -> None:
    fake = TileValhalla()
    async with asking(fake) as client:
        with pytest.raises(NotFound):
            await RoadTiles(client, "").find(Tile(zoom, 0, 0))
    assert not fake.asked


async def test_without_roads_there_are_neither_tiles_nor_a_description() -> None:
    kept = RoadTiles(no_roads(), "")
    with pytest.raises(Unavailable) as failure:
        await kept.find(HERE)
    assert failure.value.retry_after_s == 60
    with pytest.raises(Unavailable):
        kept.describe()


@pytest.mark.parametrize(
    ("fails", "problem"), [("silent", Unavailable), ("closes", Unavailable), ("500", Unavailable), ("171", NotFound)]
)
async def test_a_tile_that_did_not_come_is_asked_for_again(
    fails: str, problem: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE_S", 0.15)
    fake = TileValhalla()
    fake.fails = fails
    async with asking(fake) as client:
        kept = RoadTiles(client, "")
        for failure in await asyncio.gather(*(kept.find(HERE) for _ in range(3)), return_exceptions=True):
            assert type(failure) is problem
        assert kept.kept_bytes == 0
        fake.fails = ""
        assert isinstance(await kept.find(HERE), Published)


async def test_what_is_no_tile_is_none() -> None:
    async with asking(TileValhalla(lambda _: b"<html>")) as client:
        with pytest.raises(NotFound):
            await RoadTiles(client, "").find(HERE)


async def test_the_description_says_where_tiles_are() -> None:
    async with asking(TileValhalla()) as client:
        told = orjson.loads(RoadTiles(client, "http://here").describe())
    assert told["tiles"] == ["http://here/v1/tiles/roads/{z}/{x}/{y}.mvt"]
    assert (told["minzoom"], told["maxzoom"]) == (MIN_ZOOM, MAX_ZOOM)
    assert told["bounds"] == [-180, -90, 180, 90]
    assert [layer["id"] for layer in told["vector_layers"]] == [LAYER]
