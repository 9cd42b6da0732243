"""Vector tiles of the roads, for a map without internet: Valhalla's own, without the layers that no map draws.

Valhalla makes them in 5 to 10 ms from the graph that it routes on; here they are kept while the graph stays. A tile is
asked for once, however many wait for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple

import orjson

from geo.protobuf import Field, ProtobufError, fields
from geo.tilemath import Tile
from mapsvc.deadline import Deadline
from mapsvc.problems import NotFound
from mapsvc.roads.client import NO_ROADS, RefusedError, RoadsAwayError, RoadsClient
from mapsvc.roads.graphs import Served
from mapsvc.roads.waypoints import away
from mapsvc.tiles import Published

MIN_ZOOM, MAX_ZOOM = 7, 14  # what Valhalla draws: motorways from 7, all roads at 14
KEPT_BYTES = 64 << 20  # in one worker, plain and packed
ENTRY_BYTES = 500  # that a tile takes besides
TILE_S = 4.0
LAYER = "edges"

VECTOR_LAYERS = [
    {
        "id": LAYER,
        "minzoom": MIN_ZOOM,
        "maxzoom": MAX_ZOOM,
        "fields": {
            "road_class": "0 motorway, 1 trunk, 2 primary, 3 secondary, 4 tertiary, 5 unclassified, 6 residential, 7 service "
            "and other",
            "tile_level": "the level of Valhalla's graph",
        },
    }
]


class _Key(NamedTuple):
    graph: str
    tile: Tile


class RoadTiles:
    def __init__(self, client: RoadsClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url
        self._kept: OrderedDict[_Key, Published] = OrderedDict()
        self._coming: dict[_Key, asyncio.Task[Published]] = {}
        self.kept_bytes = 0

    async def find(self, tile: Tile) -> Published:
        """Raises Problem."""
        if not MIN_ZOOM <= tile.z <= MAX_ZOOM:
            raise NotFound(f"Tiles of roads are of zoom {MIN_ZOOM} to {MAX_ZOOM}.")
        served = self._served()
        key = _Key(served.graph, tile)
        if found := self._kept.get(key):
            self._kept.move_to_end(key)
            return found
        task = self._coming.get(key)
        if task is None:
            task = self._coming[key] = asyncio.create_task(self._make(key))
            task.add_done_callback(lambda _: self._coming.pop(key, None))
        try:
            return await asyncio.shield(task)
        except RoadsAwayError as error:
            raise away(error) from None
        except (RefusedError, ProtobufError):
            raise NotFound("There is no such tile of roads.") from None

    async def _make(self, key: _Key) -> Published:
        whole = await self._client.tile(key.tile.z, key.tile.x, key.tile.y, Deadline.after(TILE_S))
        made = await asyncio.to_thread(_packed, whole)
        served = self._client.served()
        if served is None or served.graph != key.graph:
            return made  # of a graph that has gone meanwhile
        if self._kept and next(iter(self._kept)).graph != key.graph:
            self._kept.clear()
            self.kept_bytes = 0
        self._kept[key] = made
        self.kept_bytes += _size(made)
        while self.kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= _size(oldest)
        return made

    def describe(self) -> bytes:
        """TileJSON. Raises Unavailable."""
        served = self._served()
        return orjson.dumps(
            {
                "tilejson": "3.0.0",
                "name": "Roads",
                "attribution": "© OpenStreetMap contributors",
                "tiles": [f"{self._base_url}/v1/tiles/roads/{{z}}/{{x}}/{{y}}.mvt"],
                "minzoom": MIN_ZOOM,
                "maxzoom": MAX_ZOOM,
                "bounds": list(served.bbox),
                "vector_layers": VECTOR_LAYERS,
            }
        )

    def _served(self) -> Served:
        served = self._client.served()
        if served is None:
            raise away(RoadsAwayError(NO_ROADS))
        return served


def _size(tile: Published) -> int:
    return len(tile.body) + len(tile.gzipped) + ENTRY_BYTES


def _packed(whole: bytes) -> Published:
    made = Published(only_layer(whole, LAYER))
    made.gzipped  # noqa: B018 (here, in a thread; it stays)
    return made


def only_layer(tile: bytes, name: str) -> bytes:
    """A tile (MVT 2.1: layers are field 3) with only the layers of this name. Raises ProtobufError."""
    wanted = name.encode()
    return b"".join(
        tile[layer.tag_at : layer.end]
        for layer in fields(tile)
        if layer.number == 3 and _name_of(tile, layer) == wanted
    )


def _name_of(tile: bytes, layer: Field) -> bytes:
    """Field 1. It comes before the features, which need not be walked for it: 2,000 of them take 5 ms."""
    return next((tile[told.begin : told.end] for told in fields(tile, layer.begin, layer.end) if told.number == 1), b"")
