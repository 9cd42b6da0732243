"""Ticks: what is told, to whom, and what slow readers cost (promise R8)."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cache.codec import pack_doc
from geo.areas import BoxArea
from geo.filters import NO_FILTER, Filter
from geo.hours import zone_for
from geo.record import make_record, tombstone
from geo.station import SHARDS, Status, shard_of
from geo.tilemath import tile_of
from mapsvc.live import hub as hub_module
from mapsvc.live.tick import View
from mapsvc.tiles import Tiles
from tests.geo.model_world import State
from tests.geo.worlds import (
    DAY,
    START_MS,
    make_evse,
    make_station,
    packed,
)  # fmt: skip
from tests.mapsvc.live_push.client import Client, settle, without_seen
from tests.mapsvc.live_push.worker import WORLD_BOX, Worker, assert_equal, filled, listed


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


async def test_an_id_that_changes_its_case_leaves_and_comes() -> None:
    clock = [START_MS]
    worker = filled(clock, 3)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    renamed = msgspec.structs.replace(make_station(1, 48.001, 2.0, [make_evse(0)]), location_id="l1")
    worker.world.put([make_record(renamed, 1, 2, pack_doc, zone_for)], packed([]), clock[0])
    worker.hub.flush()
    assert_equal(client, worker)
    await client.cut()


async def test_a_mass_change_is_told_in_parts_and_no_part_is_claimed_before_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "AT_ONCE", 10)
    clock = [START_MS]
    worker = filled(clock, 95)
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
    assert_equal(client, worker)
    await client.cut()


async def test_one_record_that_cannot_be_read_ends_live_push_for_nobody() -> None:
    clock = [START_MS]
    worker = filled(clock, 3)
    client = Client(BoxArea(WORLD_BOX), View(NO_FILTER, 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    row = worker.world.find(make_station(1, 0, 0).key)
    assert row is not None
    worker.world.texts.put(np.array([row], np.int32), [b"\xff"])
    worker.world.put([tombstone(1, 2)], packed([]), clock[0])
    worker.world.put_states(packed([State(2, 0, 2, Status.AVAILABLE, clock[0], clock[0])]), clock[0])
    worker.hub.flush()
    worker.hub.beat(1e9)
    assert client.read().stations[make_station(2, 0, 0).id]["evses"]["available"] == 1
    await client.cut()


async def test_what_changed_while_nobody_watched_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "AT_ONCE", 10)
    clock = [START_MS]
    worker = filled(clock, 50)
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
    assert_equal(client, worker)
    await client.cut()


async def test_a_station_that_closes_leaves_those_who_want_open_ones() -> None:
    clock = [START_MS]
    worker = Worker(clock)
    station = make_station(1, 48.0, 2.0, [make_evse(0)], opening_times=DAY)
    worker.world.put([make_record(station, 1, 1, pack_doc, zone_for)], packed([]), clock[0])
    worker.hub.history.begin()
    client = Client(BoxArea(WORLD_BOX), View(Filter(open_now=True), 14))
    client.connect(worker.world, worker.bodies, worker.hub)
    await settle()
    worker.hub.flush()
    assert client.read().stations.keys() == {station.id}
    clock[0] += 8 * 3_600_000  # it is night
    worker.hub.flush()
    await settle()
    assert client.read().stations == {}
    await client.cut()
