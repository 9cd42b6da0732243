"""Redis = PostGIS = every replica: what "nothing was lost" means, in one call.

Redis is compared record by record (mapsvc.verify). A replica is compared through what it serves: every station of every
page of the list and all about each, worker by worker.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg

from cache.client import Cache
from cache.codec import unpack_doc
from geo.station import SHARDS, Station, Status, decode_doc, public_id
from geo.world import World
from mapsvc.instants import instant
from mapsvc.verify import verify
from sql import queries
from tests.e2e.stack import Stack

PATIENCE_S = 30.0  # for replicas to catch up, on a machine that others use too


class Shown(NamedTuple):
    """A station as any side tells it: where it is, and each EVSE's last reported status and when it began."""

    lat: float
    lon: float
    name: str | None
    evses: dict[str, tuple[str, str | None]]  # uid -> (reported status, changed_at)


def shown(station: Station, states: Mapping[int, tuple[int, int | None]]) -> Shown:
    """`states`: slot -> (status, changed_ms); an EVSE that is REMOVED is not shown."""
    evses = {}
    for evse in station.evses:
        status, changed_ms = states[evse.slot]
        if status != Status.REMOVED:
            evses[evse.uid] = (Status(status).name, instant(changed_ms or None))
    return Shown(station.lat, station.lon, station.name, evses)


async def of_postgis(database_url: str) -> dict[str, Shown]:
    found: dict[str, Shown] = {}
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for shard in range(SHARDS):
                for row in await connection.fetch(queries.SNAPSHOT_SHARD, shard):
                    if row["publish"]:
                        states = dict(
                            zip(row["slots"], zip(row["statuses"], row["changed_ms"], strict=True), strict=True)
                        )
                        found[public_id(row["party"], row["location_id"])] = shown(decode_doc(row["doc"]), states)
    finally:
        await connection.close()
    return found


def of_world(world: World) -> dict[str, Shown]:
    """What a replica of this process holds."""
    found = {}
    for row in world.shown_rows().tolist():
        station = unpack_doc(world.docs[row], world.texts[row])
        first, slots = int(world.stations.first[row]), int(world.stations.slots[row])
        e = world.evses
        states = {k: (int(e.status[first + k]), int(e.changed_ms[first + k])) for k in range(slots)}
        found[station.id] = shown(station, states)
    return found


async def of_worker(stack: Stack, pid: int) -> dict[str, Shown]:
    """All that one API worker shows."""
    async with await session_with(stack, pid) as session:
        ids: list[str] = []
        path = f"{stack.url}/v1/stations?bbox=-180,-90,180,90&limit=1000"
        while path:
            async with session.get(path) as response:
                assert response.status == 200
                ids += [station["id"] for station in json.loads(await response.read())["stations"]]
                path = next(iter(re.findall(r"<([^>]+)>; rel=\"next\"", response.headers.get("Link", ""))), "")
        found = {}
        for station_id in ids:
            async with session.get(f"{stack.url}/v1/stations/{station_id}") as response:
                assert response.status == 200, station_id
                told = json.loads(await response.read())
            evses = {evse["uid"]: (evse["reported_status"], evse["changed_at"]) for evse in told["evses"]}
            found[station_id] = Shown(told["lat"], told["lon"], told.get("name"), evses)
        return found


async def session_with(stack: Stack, pid: int) -> aiohttp.ClientSession:
    """A session of one kept connection to this very worker. The kernel decides who accepts: try until it is that one."""
    port = int(stack.url.rpartition(":")[2])
    for _ in range(200):
        sockets: list[socket.socket] = []

        def remembered(address: aiohttp.AddrInfoType, sockets: list[socket.socket] = sockets) -> socket.socket:
            sockets.append(socket.socket(*address[:3]))
            return sockets[-1]

        connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=60, socket_factory=remembered)
        session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=40))
        async with session.get(f"{stack.url}/healthz") as response:
            assert response.status == 200
            await response.read()
        if _inode(port, sockets[0].getsockname()[1]) in _socket_inodes(pid):
            return session
        await session.close()
    raise AssertionError(f"worker {pid} accepts nothing")


def _inode(server_port: int, client_port: int) -> str:
    """The server's end of a loopback connection, in /proc/net/tcp."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(fields[k].rpartition(":")[2], 16) for k in (1, 2))
        if (local, remote) == (server_port, client_port):
            return fields[9]
    return ""


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


async def assert_all_equal(stack: Stack) -> int:
    """Redis = PostGIS = every replica, soon after the last write. Returns how many stations there are."""
    cache = Cache(stack.redis_url)
    try:
        verdicts = await verify(stack.database_url, cache)
    finally:
        await cache.close()
    assert [text for verdict in verdicts for text in verdict.wrong] == []
    truth = await of_postgis(stack.database_url)
    for pid in stack.workers():
        await assert_becomes_equal(partial(of_worker, stack, pid), truth, f"worker {pid}")
    return len(truth)


async def assert_becomes_equal(read: Any, truth: dict[str, Shown], who: str) -> None:
    """`read()` comes to be the truth; else AssertionError that names the first difference."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while True:
        found = await read()
        if found == truth:
            return
        if loop.time() > deadline:
            wrong = [key for key in truth.keys() | found.keys() if truth.get(key) != found.get(key)]
            first = min(wrong)
            raise AssertionError(
                f"{who}: {len(wrong)} of {len(truth)} stations differ, first {first}:\n"
                f"{truth.get(first)} in PostGIS\n{found.get(first)} there"
            )
        await asyncio.sleep(0.1)
