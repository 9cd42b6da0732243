"""Whoever has taken the snapshot and every event since holds exactly what the list answers. Promise R5."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import h3.api.basic_int as h3
import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from cache.codec import pack_doc
from geo.areas import Area, BoxArea, CellsArea, StationsArea
from geo.filters import NO_FILTER, Filter
from geo.hours import zone_for
from geo.point import Box
from geo.record import StationRecord, make_record, tombstone
from geo.select import select
from geo.station import SHARDS, Status, shard_of
from geo.tilemath import Tile, tile_of
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.live import history
from mapsvc.live import hub as hub_module
from mapsvc.live.history import Positions
from mapsvc.live.hub import Hub
from mapsvc.live.stream import rows_in
from mapsvc.live.tick import View
from mapsvc.tiles import Tiles
from tests.geo.model_world import State, Told
from tests.geo.worlds import (
    PLACES,
    START_MS,
    USEFUL,
    WorldMachine,
    examples,
    make_evse,
    make_station,
    packed,
)  # fmt: skip
from tests.mapsvc.live_push.client import Client, settle, without_seen

EPOCH = 7
WORLD_BOX = Box.of(-180.0, -90.0, 180.0, 90.0)


def listed(world: World, bodies: Bodies, area: Area, wanted: Filter) -> dict[str, dict[str, Any]]:
    """What the list of the area answers."""
    rows = rows_in(world, area)
    chosen = select(world, rows, wanted)
    items = bodies.filtered_summaries(rows[chosen.keep], chosen.counts[chosen.keep], chosen.max_kw[chosen.keep])
    return {station["id"]: station for station in map(orjson.loads, items)}


def _box(place: tuple[float, float], size: float) -> Area:
    lat, lon = place
    south, north = max(-90.0, lat - size), min(90.0, lat + size)
    west, east = (lon - size + 180) % 360 - 180, (lon + size + 180) % 360 - 180
    return BoxArea(Box.of(west, south, east, north))


areas: st.SearchStrategy[Area] = st.one_of(
    st.builds(_box, st.sampled_from(PLACES), st.sampled_from((0.0005, 0.02, 0.3, 2.0))),
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


# -- two workers ------------------------------------------------------------------------------------------------------


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


def changes(random: Random, ns: list[int], now_ms: int) -> tuple[int, int, list[StationRecord], Any]:
    num = random.randint(1, 12)
    station = make_station(num, *random.choice(PLACES[:6]), [make_evse(0), make_evse(1)])
    shard = shard_of(station.key)
    ns[shard] += 1
    n = ns[shard]
    kind = random.random()
    if kind < 0.2:
        return shard, n, [tombstone(num, n)], packed([])
    if kind < 0.5:
        return shard, n, [make_record(station, num, n, pack_doc, zone_for)], packed([])
    status = random.choice([Status.AVAILABLE, Status.CHARGING, Status.OUTOFORDER])
    return shard, n, [], packed([State(num, random.randint(0, 1), n, status, now_ms - 5, now_ms)])


@pytest.mark.parametrize("seed", range(25))
async def test_a_client_that_wanders_between_workers_ends_as_the_list(seed: int) -> None:
    random, clock = Random(seed), [START_MS]
    log: list[tuple[int, int, list[StationRecord], Any]] = []
    ns = [0] * SHARDS
    workers = [Worker(clock), Worker(clock)]
    for worker in workers:
        worker.hub.history.begin()
    areas: list[Area] = [BoxArea(Box.of(2.0, 48.0, 3.0, 49.0)), BoxArea(WORLD_BOX), _box(PLACES[0], 0.0005)]
    clients = [Client(area, View(wanted, 14)) for area in areas for wanted in (NO_FILTER, Filter(available=1))]
    for client in clients:
        worker = random.choice(workers)
        client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    for _ in range(60):
        log.extend(changes(random, ns, clock[0]) for _ in range(random.randint(0, 3)))
        clock[0] += random.choice((5, 50, 400, 400, 100_000))
        workers[0].follow(log, len(log))
        workers[1].follow(log, random.randint(workers[1].at, len(log)))
        for worker in workers:
            if random.random() < 0.7:
                worker.hub.flush()
        for client in clients:
            if random.random() < 0.2:
                await client.cut()
                worker = random.choice(workers)
                client.connect(worker.world, worker.bodies, worker.hub)
        await settle()
    for worker in workers:
        worker.follow(log, len(log))
        worker.hub.flush()
    await settle()
    world, bodies = workers[0].world, workers[0].bodies
    for client in clients:
        assert without_seen(client.read().stations) == without_seen(
            listed(world, bodies, client.area, client.view.wanted)
        )
        await client.cut()
    # Only who never got as far as an id had to begin anew.
    assert not any(client.map.begun_anew for client in clients)


# -- what cannot be resumed -------------------------------------------------------------------------------------------


async def test_who_comes_from_another_epoch_or_from_before_this_world_begins_anew() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    log = [changes(Random(1), [0] * SHARDS, START_MS) for _ in range(3)]
    worker.follow(log, 3)
    worker.hub.history.begin()
    now = worker.hub.history.mark().cursor
    assert worker.hub.history.resumable(now.text()) == now
    floor = max(range(SHARDS), key=lambda shard: worker.ns[shard])
    behind = [n - (shard == floor) for shard, n in enumerate(now.ns)]
    for text in (
        now._replace(epoch=EPOCH - 1).text(),
        now._replace(at_ms=now.at_ms + 10_000).text(),
        now._replace(ns=tuple(behind)).text(),
        now._replace(ns=now.ns[:-1]).text(),
        "", "1", "ff" * 300, now.text() + ".1", now.text().replace(".", ","), "é" * 20, now.text().upper() + "G",
    ):  # fmt: skip
        assert worker.hub.history.resumable(text) is None, text


async def test_a_departure_that_was_forgotten_makes_older_cursors_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "DEPARTURES", 2)
    clock = [START_MS]
    worker = Worker(clock)
    worker.hub.history.begin()
    stations = [make_station(num, 48.0, 2.0) for num in range(1, 5)]
    worker.world.put(
        [make_record(s, i, 1, pack_doc, zone_for) for i, s in enumerate(stations, 1)], packed([]), clock[0]
    )
    worker.ns = [1] * SHARDS
    worker.hub.flush()
    old = worker.hub.history.mark().cursor
    assert worker.hub.history.resumable(old.text()) == old
    for num in range(1, 5):
        worker.world.put([tombstone(num, 2)], packed([]), clock[0])
        worker.ns[shard_of(stations[num - 1].key)] = 2
        worker.hub.flush()
        assert (worker.hub.history.resumable(old.text()) is None) == (num > 2)
    assert worker.hub.history.resumable(worker.hub.history.mark().cursor.text()) is not None


async def test_a_heartbeat_does_not_claim_changes_that_wait_for_the_next_tick() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    station = make_station(1, 48.0, 2.0, [make_evse(0)])
    worker.world.put([make_record(station, 1, 1, pack_doc, zone_for)], packed([]), clock[0])
    worker.hub.history.begin()
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    worker.world.put_states(packed([State(1, 0, 2, Status.AVAILABLE, clock[0], clock[0])]), clock[0])
    worker.ns[shard_of(station.key)] = 2
    clock[0] += 60_000
    worker.hub.beat(1e9)
    await client.cut()
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    assert client.read().stations[station.id]["evses"]["available"] == 1
    await client.cut()


# -- slow readers (promise R8) ----------------------------------------------------------------------------------------


async def test_one_that_does_not_read_holds_little_and_later_gets_what_is_then() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    count = 500
    stations = [make_station(num, 48.0 + num / 1000, 2.0, [make_evse(0)]) for num in range(1, count + 1)]
    worker.world.put(
        [make_record(s, i, 1, pack_doc, zone_for) for i, s in enumerate(stations, 1)], packed([]), clock[0]
    )
    worker.hub.history.begin()
    slow, quick = (Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14)) for _ in range(2))
    for client in (slow, quick):
        client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    slow.transport.stuck = True
    for turn in range(2, 40):
        status = Status.CHARGING if turn % 2 else Status.AVAILABLE
        clock[0] += 100
        states = [State(num, 0, turn, status, clock[0], clock[0]) for num in range(1, count + 1)]
        worker.world.put_states(packed(states), clock[0])
        worker.ns = [turn] * SHARDS
        worker.hub.flush()
        await settle()
    assert slow.transport.most_unsent < 256 << 10
    slow.transport.release()
    for _ in range(20):
        await settle()
    expected = without_seen(listed(worker.world, worker.bodies, BoxArea(WORLD_BOX), NO_FILTER))
    assert without_seen(slow.read().stations) == expected
    assert without_seen(quick.read().stations) == expected
    for client in (slow, quick):
        await client.cut()
    assert worker.hub.size == 0
    assert np.all(worker.world.stations.shown[:count])


async def test_one_that_still_takes_its_snapshot_is_sent_away_as_well() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    stations = [make_station(num, 48.0, 2.0, [make_evse(0)]) for num in range(1, 1000)]
    worker.world.put(
        [make_record(s, i, 1, pack_doc, zone_for) for i, s in enumerate(stations, 1)], packed([]), clock[0]
    )
    worker.hub.history.begin()
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    client.transport.stuck = True
    await settle()
    assert worker.hub.size == 0
    worker.hub.finish()
    client.transport.release()
    for _ in range(20):
        await settle()
    assert client.task is not None and client.task.done()
    assert client.read().retry_ms >= 500
    assert len(client.map.stations) == len(stations)
    assert worker.hub.history.resumable(client.map.last_event_id) is not None


async def test_the_etag_of_a_tile_is_told_while_somebody_looks_at_it() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    station = make_station(1, 48.0, 2.0, [make_evse(0)])
    worker.world.put([make_record(station, 1, 1, pack_doc, zone_for)], packed([]), clock[0])
    worker.hub.history.begin()
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    told = []
    for n, (wait_ms, look) in enumerate([(1, False), (1, True), (9_000, False), (2_000, False), (1, True)], 2):
        tile = tile_of(48.0, 2.0, 14)
        if look:
            worker.tiles.get(tile, NO_FILTER, clock[0])
        clock[0] += wait_ms
        status = (Status.AVAILABLE, Status.CHARGING)[n % 2]
        worker.world.put_states(packed([State(1, 0, n, status, clock[0], clock[0])]), clock[0])
        worker.hub.flush()
        told.append(client.read().tiles[-1]["etag"])
        if told[-1] is not None:
            assert told[-1] == Tiles(worker.world).get(tile, NO_FILTER, clock[0]).etag
    assert [etag is not None for etag in told] == [False, True, True, False, True]
    await client.cut()


# -- found by attack ----------------------------------------------------------------------------------------------------


def _filled(clock: list[int], count: int) -> Worker:
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


def _assert_equal(client: Client, worker: Worker) -> None:
    expected = listed(worker.world, worker.bodies, client.area, client.view.wanted)
    assert without_seen(client.read().stations) == without_seen(expected)


async def test_who_is_cut_off_in_a_snapshot_does_not_go_on_from_the_id_before_it() -> None:
    clock = [START_MS]
    old, young = _filled(clock, 1000), _filled(clock, 1000)
    clock[0] += 60_000
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(old.world, old.bodies, old.hub)
    for _ in range(10):
        await settle()
    await client.cut()
    young.ns = [2] * SHARDS
    young.hub.history.begin()  # it knows nothing of what went before 2
    client.connect(young.world, young.bodies, young.hub)
    client.transport.stuck = True
    for _ in range(3):
        await settle()
    await client.cut()
    assert "reset" in client.map.names
    assert len(client.map.stations) < 1000
    client.connect(old.world, old.bodies, old.hub)
    for _ in range(10):
        await settle()
    _assert_equal(client, old)
    await client.cut()


async def test_departures_that_were_forgotten_while_a_snapshot_was_taken_begin_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "DEPARTURES", 2)
    clock = [START_MS]
    worker = _filled(clock, 1000)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    client.transport.stuck = True
    for _ in range(3):
        await settle()
    worker.world.put([tombstone(num, 2) for num in range(1, 101)], packed([]), clock[0])
    worker.ns = [2] * SHARDS
    worker.hub.flush()
    client.transport.release()
    for _ in range(30):
        await settle()
    _assert_equal(client, worker)
    await client.cut()


async def test_an_id_that_changes_its_case_leaves_and_comes() -> None:
    clock = [START_MS]
    worker = _filled(clock, 3)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    renamed = msgspec.structs.replace(make_station(1, 48.001, 2.0, [make_evse(0)]), location_id="l1")
    worker.world.put([make_record(renamed, 1, 2, pack_doc, zone_for)], packed([]), clock[0])
    worker.hub.flush()
    _assert_equal(client, worker)
    await client.cut()


async def test_a_mass_change_is_told_in_parts_and_no_part_is_claimed_before_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "AT_ONCE", 10)
    clock = [START_MS]
    worker = _filled(clock, 95)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    before = client.read().last_event_id
    clock[0] += 60_000
    worker.ns = [2] * SHARDS
    worker.world.put_states(
        packed([State(num, 0, 2, Status.AVAILABLE, clock[0], clock[0]) for num in range(1, 96)]), clock[0]
    )
    for _ in range(9):
        worker.hub.flush()
        worker.hub.beat(1e9)
        assert client.read().last_event_id == before
    assert sum(s["evses"]["available"] for s in client.map.stations.values()) == 90
    worker.hub.flush()
    assert client.read().last_event_id != before
    _assert_equal(client, worker)
    await client.cut()


async def test_one_record_that_cannot_be_read_ends_live_push_for_nobody() -> None:
    clock = [START_MS]
    worker = _filled(clock, 3)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    row = worker.world.find(make_station(1, 0, 0).key)
    assert row is not None
    worker.world.docs[row] = b"\xff"
    worker.world.put([tombstone(1, 2)], packed([]), clock[0])
    worker.world.put_states(packed([State(2, 0, 2, Status.AVAILABLE, clock[0], clock[0])]), clock[0])
    worker.hub.flush()
    worker.hub.beat(1e9)
    assert client.read().stations[make_station(2, 0, 0).id]["evses"]["available"] == 1
    await client.cut()


async def test_what_changed_while_nobody_watched_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "AT_ONCE", 10)
    clock = [START_MS]
    worker = _filled(clock, 50)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    states = [State(num, 0, 2, Status.AVAILABLE, clock[0], clock[0]) for num in range(1, 51)]
    worker.world.put_states(packed(states), clock[0])
    await client.cut()
    worker.hub.flush()
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    worker.hub.flush()
    assert client.read().names == ["snapshot"]
    _assert_equal(client, worker)
    await client.cut()
