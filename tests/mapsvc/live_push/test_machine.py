"""Whoever has taken the snapshot and every event since holds exactly what the list answers, at any moment, whatever happens
in between. Promise R5."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import h3.api.basic_int as h3
from hypothesis import strategies as st
from hypothesis.stateful import rule

from cache.codec import pack_doc
from geo.areas import Area, BoxArea, CellsArea, StationsArea
from geo.filters import NO_FILTER, Filter
from geo.hours import zone_for
from geo.record import StationRecord, make_record, tombstone
from geo.station import SHARDS
from geo.tilemath import Tile
from mapsvc.bodies import Bodies
from mapsvc.live.history import Positions
from mapsvc.live.hub import Hub
from mapsvc.live.tick import View
from mapsvc.tiles import Tiles
from tests.geo.model_world import Told
from tests.geo.worlds import (
    PLACES,
    USEFUL,
    WorldMachine,
    examples,
    make_station,
)  # fmt: skip
from tests.mapsvc.live_push.client import Client, settle, without_seen
from tests.mapsvc.live_push.worker import EPOCH, WORLD_BOX, box_around, listed

areas: st.SearchStrategy[Area] = st.one_of(
    st.builds(box_around, st.sampled_from(PLACES), st.sampled_from((0.0005, 0.02, 0.3, 2.0))),
    st.just(BoxArea(WORLD_BOX)),
    st.builds(
        lambda places, res: CellsArea({h3.latlng_to_cell(*place, res) for place in places}),
        st.lists(st.sampled_from(PLACES), min_size=1, max_size=3),
        st.integers(4, 9),
    ),
    st.builds(
        lambda nums: StationsArea(make_station(num, 0, 0).key for num in nums),
        st.sets(st.integers(1, 6), min_size=1),
    ),
)
views = st.builds(View, st.just(NO_FILTER) | st.sampled_from(USEFUL), st.sampled_from((5, 11, 14)))


class LiveMachine(WorldMachine):
    """Subscribers come, are cut off, come back and read at any moment between the changes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bodies, self.tiles = Bodies(self.world), Tiles(self.world)
        self.hub = Hub(
            self.world,
            self.bodies,
            self.tiles,
            lambda: Positions(EPOCH, (self.n,) * SHARDS, self.now_ms),
            lambda: self.now_ms,
        )
        self.hub.history.begin()
        self.clients: list[Client] = []
        self.asked: set[tuple[Filter, int, int, int]] = set()  # tiles that somebody wanted

    def record(self, told: Told) -> StationRecord:
        if told.station is None:
            return tombstone(told.num, told.n)
        return make_record(told.station, told.num, told.n, pack_doc, zone_for)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        async def then_settle() -> None:
            await work
            await settle()

        self.loop.run_until_complete(then_settle())

    async def _connect(self, client: Client) -> None:
        client.connect(self.world, self.bodies, self.hub)

    @rule(area=areas, view=views)
    def subscribe(self, area: Area, view: View) -> None:
        if len(self.clients) < 4:
            self.clients.append(Client(area, view))
            self._do(self._connect(self.clients[-1]))

    @rule(which=st.integers(0, 3), back=st.booleans())
    def cut(self, which: int, back: bool) -> None:
        if which < len(self.clients) and self.clients[which].task is not None:
            self._do(self.clients[which].cut())
            if back:
                self._do(self._connect(self.clients[which]))

    @rule(which=st.integers(0, 3))
    def come_back(self, which: int) -> None:
        if which < len(self.clients) and self.clients[which].task is None:
            self._do(self._connect(self.clients[which]))

    @rule()
    def tick(self) -> None:
        self.hub.flush()

    def check(self) -> None:
        """After every step: a tick brings everybody who is there up to date."""
        self.hub.flush()
        asked = set(self.asked)
        for client in self.clients:
            if client.task is not None:
                got = client.read()
                expected = listed(self.world, self.bodies, client.area, client.view.wanted)
                assert without_seen(got.stations) == without_seen(expected)
                self._check_tiles(client, asked)

    def _check_tiles(self, client: Client, asked: set[tuple[Filter, int, int, int]]) -> None:
        """The last told ETag of a tile, if any, is the one it has. Somebody then asks for it, so the next one is known."""
        told = {(t["z"], t["x"], t["y"]): t["etag"] for t in client.map.tiles}
        client.map.tiles.clear()
        for (z, x, y), etag in told.items():
            assert z == client.view.zoom
            key = (client.view.wanted, z, x, y)
            assert etag is None or key in asked
            if z >= 11:
                fresh = Tiles(self.world).get(Tile(z, x, y), client.view.wanted, self.now_ms)
                assert etag in (None, fresh.etag)
                self.tiles.get(Tile(z, x, y), client.view.wanted, self.now_ms)
                self.asked.add(key)

    def teardown(self) -> None:
        for client in self.clients:
            if client.task is not None:
                self._do(client.cut())
        self.loop.close()


TestLive = LiveMachine.TestCase
TestLive.settings = examples(60)
