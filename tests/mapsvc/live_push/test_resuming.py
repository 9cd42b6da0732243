"""Who was away goes on where it was, on any worker, or is told to begin anew. Promise R5."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from cache.codec import pack_doc
from geo.areas import Area, BoxArea
from geo.filters import NO_FILTER, Filter
from geo.hours import zone_for
from geo.point import Box
from geo.record import StationRecord, make_record, tombstone
from geo.station import SHARDS, Status, shard_of
from mapsvc.live import history
from mapsvc.live.tick import View
from tests.geo.model_world import State
from tests.geo.worlds import (
    PLACES,
    START_MS,
    make_evse,
    make_station,
    packed,
)  # fmt: skip
from tests.mapsvc.live_push.client import Client, settle, without_seen
from tests.mapsvc.live_push.worker import EPOCH, WORLD_BOX, Worker, assert_equal, box_around, filled, listed


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
    areas: list[Area] = [BoxArea(Box.of(2.0, 48.0, 3.0, 49.0)), BoxArea(WORLD_BOX), box_around(PLACES[0], 0.0005)]
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


async def test_who_is_cut_off_in_a_snapshot_does_not_go_on_from_the_id_before_it() -> None:
    clock = [START_MS]
    old, young = filled(clock, 1000), filled(clock, 1000)
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
    assert_equal(client, old)
    await client.cut()


async def test_departures_that_were_forgotten_while_a_snapshot_was_taken_begin_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "DEPARTURES", 2)
    clock = [START_MS]
    worker = filled(clock, 1000)
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
    assert_equal(client, worker)
    await client.cut()
