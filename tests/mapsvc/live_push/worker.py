"""One worker's world with its hub, without Redis and HTTP; and what its list answers: the oracle of live push."""

from __future__ import annotations

from typing import Any

import orjson

from cache.codec import pack_doc
from geo.areas import Area, BoxArea
from geo.filters import Filter
from geo.hours import zone_for
from geo.point import Box
from geo.record import StationRecord, make_record
from geo.select import select
from geo.station import SHARDS
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.live.history import Positions
from mapsvc.live.hub import Hub
from mapsvc.live.stream import rows_in
from mapsvc.tiles import Tiles
from tests.geo.worlds import (
    make_evse,
    make_station,
    packed,
)  # fmt: skip
from tests.mapsvc.live_push.client import Client, without_seen

EPOCH = 7
WORLD_BOX = Box.of(-180.0, -90.0, 180.0, 90.0)


def listed(world: World, bodies: Bodies, area: Area, wanted: Filter) -> dict[str, dict[str, Any]]:
    """What the list of the area answers."""
    rows = rows_in(world, area)
    chosen = select(world, rows, wanted)
    items = bodies.filtered_summaries(rows[chosen.keep], chosen.counts[chosen.keep], chosen.max_kw[chosen.keep])
    return {station["id"]: station for station in map(orjson.loads, items.split())}


def box_around(place: tuple[float, float], size: float) -> Area:
    lat, lon = place
    south, north = max(-90.0, lat - size), min(90.0, lat + size)
    west, east = (lon - size + 180) % 360 - 180, (lon + size + 180) % 360 - 180
    return BoxArea(Box.of(west, south, east, north))


class Worker:
    """A world that follows a log of changes, each shard's in order, at its own pace."""

    def __init__(self, clock: list[int]) -> None:
        self.clock = clock
        self.world = World()
        self.bodies, self.tiles = Bodies(self.world), Tiles(self.world)
        self.ns = [0] * SHARDS
        self.at = 0
        self.hub = Hub(
            self.world,
            self.bodies,
            self.tiles,
            lambda: Positions(EPOCH, tuple(self.ns), self.clock[0]),
            lambda: self.clock[0],
        )

    def follow(self, log: list[tuple[int, int, list[StationRecord], Any]], to: int) -> None:
        for shard, n, records, states in log[self.at : to]:
            self.world.put(records, states, self.clock[0])
            self.ns[shard] = n
        self.at = max(self.at, to)


def filled(clock: list[int], count: int) -> Worker:
    worker = Worker(clock)
    records = [
        make_record(make_station(num, 48.0 + num / 1000, 2.0, [make_evse(0)]), num, 1, pack_doc, zone_for)
        for num in range(1, count + 1)
    ]
    worker.world.put(records, packed([]), clock[0])
    worker.ns = [1] * SHARDS
    worker.hub.history.begin()
    worker.hub.flush()
    return worker


def assert_equal(client: Client, worker: Worker) -> None:
    expected = listed(worker.world, worker.bodies, client.area, client.view.wanted)
    assert without_seen(client.read().stations) == without_seen(expected)
