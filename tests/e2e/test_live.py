"""Live push with real processes: a client that is cut off again and again, by both sides, ends equal to PostGIS (promise R5);
clients that do not read cost little and delay nobody (R8); nothing is shown past its TTL (R7)."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from geo.station import Located
from geo.tilemath import tile_of
from tests.e2e.compare import of_postgis
from tests.e2e.event_source import EventSource
from tests.e2e.ledger import Ledger
from tests.e2e.stack import TORTURE, Stack, eventually, rfc3339, station_at

BOX = "/v1/live?bbox=2.1,48.7,2.5,48.9"
ROUNDS = 30 if TORTURE else 6
SLEEPERS = 200


async def assert_equal_to_postgis(stack: Stack, *sources: EventSource) -> None:
    """Positions, names, and how many EVSEs are in each state; nothing expires within the test."""
    truth = await of_postgis(stack.database_url)
    expected = {
        name: (shown.lat, shown.lon, shown.name, sorted(status for status, _ in shown.evses.values()))
        for name, shown in truth.items()
    }
    counts = {
        name: (sum(s == "AVAILABLE" for s in told[3]), sum(s in ("CHARGING", "BLOCKED", "RESERVED") for s in told[3]))
        for name, told in expected.items()
    }

    async def equal() -> bool:
        """every client holds what PostGIS holds"""
        return all(source.counts() == counts for source in sources)

    try:
        await eventually(equal, 20)
    except AssertionError:
        for source in sources:
            assert source.counts() == counts
    for source in sources:
        for name, (lat, lon, title, statuses) in expected.items():
            station = source.map.stations[name]
            assert (station["lat"], station["lon"], station["name"]) == (lat, lon, title)
            assert station["evses"]["total"] == len(statuses)


async def test_a_client_that_is_cut_off_and_resumes_on_any_worker_ends_equal_to_postgis(stack: Stack) -> None:
    evses = await stack.fill(120)
    await stack.start("ingest", "relay", "serve")
    rng = random.Random(1)
    wanderers = [EventSource(stack.url, BOX) for _ in range(6)]
    steady = EventSource(stack.url, BOX)
    moved = 0
    async with Ledger(stack, evses[6:-80], seed=5) as ledger:
        for turn in range(ROUNDS):
            await asyncio.sleep(0.3)
            for wanderer in rng.sample(wanderers, 3):
                wanderer.cut()
            # Stations come, move, and go meanwhile.
            updated = 1_700_000_001_000 + turn
            await stack.put([Located(station_at(500 + turn, 1, lat=48.75, lon=2.3 + turn / 1000))])
            moved = turn % 3
            await stack.put([Located(station_at(moved, 2, updated_ms=updated, lat=48.76, lon=2.2 + turn / 1000))])
            if turn % 2:
                await stack.remove([evses[-1 - turn]])
        await ledger.wait_for(50, 30)
    await assert_equal_to_postgis(stack, steady, *wanderers)
    assert sum(w.connections for w in wanderers) > len(wanderers) + ROUNDS
    assert not any(w.map.begun_anew for w in (steady, *wanderers)), "both workers knew what had happened"
    assert steady.connections == 1
    assert not any(w.refused for w in wanderers)
    for source in (steady, *wanderers):
        await source.close()
    assert stack.complaints() == []


async def test_who_resumes_on_a_worker_that_has_just_begun_is_told_to_begin_anew(stack: Stack) -> None:
    evses = await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    assert await stack.post([stack.update(evses[0], "CHARGING")]) == ["applied"]
    source = EventSource(stack.url, BOX)

    async def there() -> bool:
        return len(source.map.stations) == 40 and source.map.last_event_id not in ("", "0")

    await eventually(there, 20)
    assert await stack.stop("serve") == 0
    assert source.map.retry_ms >= 500, "told when to come back"
    assert await stack.post_to(stack.ingest_url, [stack.update(evses[0], "AVAILABLE")]) == ["applied"]
    await stack.remove([evses[-1]])
    await stack.start("serve")

    async def anew() -> bool:
        return "reset" in source.map.names and len(source.map.stations) == 39

    await eventually(anew, 30)
    await assert_equal_to_postgis(stack, source)
    await source.close()


async def test_replaced_workers_hand_their_subscribers_on(stack: Stack) -> None:
    """Promise R9: the old worker's last cursor can be resumed on the new one, which was ready before."""
    evses = await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    sources = [EventSource(stack.url, BOX) for _ in range(4)]
    async with Ledger(stack, evses, seed=7) as ledger:
        await ledger.wait_for(20, 30)
        before = set(stack.workers())
        stack.signal("serve", signal.SIGHUP)

        async def replaced() -> bool:
            """other workers, and everybody is connected again"""
            return not before & set(stack.workers()) and all(source.connections >= 2 for source in sources)

        await eventually(replaced, 60)
        await ledger.wait_for(20, 30)
    await assert_equal_to_postgis(stack, *sources)
    assert not any(source.map.begun_anew for source in sources)
    assert all(source.map.retry_ms >= 500 for source in sources)
    for source in sources:
        await source.close()
    assert stack.complaints() == []


async def test_filters_leave_and_change_and_name_tiles(stack: Stack) -> None:
    evses = await stack.fill(10, evses=1)
    await stack.start("ingest", "relay", "serve")
    assert await stack.post([stack.update(e, "AVAILABLE") for e in evses]) == ["applied"] * 10
    free, one = (
        EventSource(stack.url, f"{BOX}&available&zoom=12"),
        EventSource(stack.url, f"/v1/live?stations={evses[3].station_id}"),
    )

    async def all_free() -> bool:
        return len(free.map.stations) == 10 and len(one.map.stations) == 1

    await eventually(all_free, 20)
    # A tile that somebody looks at, on either worker: one after the other, all may meet the one that was idle last.
    path = f"/v1/tiles/stations/12/{tile_of(48.8, 2.2, 12).x}/{tile_of(48.8, 2.2, 12).y}.mvt?available"
    await asyncio.gather(*(stack.get(path) for _ in range(64)))
    assert await stack.post([stack.update(evses[3], "CHARGING")]) == ["applied"]

    async def left() -> bool:
        return len(free.map.stations) == 9 and one.available() == {evses[3].station_id: 0}

    await eventually(left, 10)
    assert free.map.names[-1] == "leave"
    tile = free.map.tiles[-1]
    assert tile["z"] == 12

    async def the_very_tile() -> bool:
        """another worker may publish it up to 100 ms later"""
        answer = await stack.get(f"/v1/tiles/stations/{tile['z']}/{tile['x']}/{tile['y']}.mvt?available")
        return bool(answer.headers["ETag"].replace("-gz", "") == tile["etag"])

    await eventually(the_very_tile, 5)
    for source in (free, one):
        await source.close()


async def test_a_status_that_expires_is_an_event(stack: Stack) -> None:
    evses = await stack.fill(3, evses=1, ttl_s=3)
    await stack.start("ingest", "relay", "serve")
    source = EventSource(stack.url, BOX)
    update = {**stack.update(evses[0], "AVAILABLE"), "source_ts": rfc3339(stack.clock_ms())}
    assert await stack.post([update]) == ["applied"]

    async def free() -> bool:
        return source.available().get(evses[0].station_id) == 1

    async def unknown() -> bool:
        return source.available().get(evses[0].station_id) == 0

    await eventually(free, 10)
    shown_s = await eventually(unknown, 10)
    assert shown_s < 3.6
    await source.close()


def _sleeper(url: str) -> socket.socket:
    """Asks, and never reads."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(f"GET {BOX} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


async def test_clients_that_do_not_read_cost_little_and_delay_nobody(stack: Stack) -> None:
    """Promise R8."""
    evses = await stack.fill(200)
    await stack.start("ingest", "relay", "serve")
    source = EventSource(stack.url, BOX)

    async def there() -> bool:
        return len(source.map.stations) == 200

    await eventually(there, 20)
    before = [resident_mb(pid) for pid in stack.workers()]
    with ExitStack() as sleepers:
        for _ in range(SLEEPERS):
            sleepers.enter_context(_sleeper(stack.url))
        waits = []
        for turn in range(40):
            status = ("CHARGING", "AVAILABLE")[turn % 2]
            assert set(await stack.post([stack.update(evse, status) for evse in evses[2:]])) <= {"applied"}
            probe = stack.update(evses[0], status)
            assert await stack.post([probe]) == ["applied"]
            began = time.monotonic()

            async def told(free: int = turn % 2) -> bool:
                return bool(source.map.stations[evses[0].station_id]["evses"]["busy"] == 1 - free)

            await eventually(told, 10, every_s=0.005)
            waits.append(time.monotonic() - began)
        grown = [resident_mb(pid) - was for pid, was in zip(stack.workers(), before, strict=True)]
        assert max(grown) < SLEEPERS * 0.3 + 30, f"MB: {grown}"
        assert sorted(waits)[len(waits) // 2] < 0.5
        if TORTURE:

            async def dropped() -> bool:
                """those who take nothing are cut off"""
                return sum([await stack.metric(f"serve-{k}", "mapsvc_live_dropped") for k in (1, 2)]) >= SLEEPERS

            await eventually(dropped, 60)
    await source.close()
    assert stack.complaints() == []


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
