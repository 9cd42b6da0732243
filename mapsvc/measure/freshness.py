"""How long from the acknowledgement of an update until nearby and the tile show it, while other updates flow.

A probe is a station with a single EVSE. Each turn flips it between OUTOFORDER and AVAILABLE, and asks again and again until
the answer says so: the bytes of nearby and of a tile are read for that very station, so that neither a newcomer beside it nor
the turn before can be taken for the change. What is measured includes one round trip of the asking (about 1 ms) and the pause
between two (2 ms).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import orjson

from geo.mvt import STATIONS, floor_index
from geo.station import Availability
from geo.tilemath import tile_of
from geo.varint import varint
from mapsvc.access import create_key
from mapsvc.bodies import instant
from mapsvc.measure.lean import LeanClient
from sql import queries

PROBES = 64
PAUSE_S = 0.002
GIVE_UP_S = 10.0


class Probe(NamedTuple):
    id: str
    num: int
    location_id: str
    uid: str
    lat: float
    lon: float

    @property
    def party(self) -> str:
        return self.id.partition("~")[0]

    @property
    def nearby_path(self) -> str:
        return f"/v1/nearby?lat={self.lat}&lon={self.lon}&radius_m=1&limit=100"

    @property
    def tile_path(self) -> str:
        tile = tile_of(self.lat, self.lon, 14)
        return f"/v1/tiles/stations/{tile.z}/{tile.x}/{tile.y}.mvt"

    def free_in_nearby(self, body: bytes) -> bool:
        (mine,) = (s for s in orjson.loads(body)["stations"] if s["id"] == self.id)
        return bool(mine["evses"]["available"])

    def free_in_tile(self, body: bytes) -> bool:
        """Reads the one byte that a patch alters: the value index of `status`, right behind the feature's id."""
        head = b"\x08" + varint(self.num) + b"\x12" + bytes((2 * len(STATIONS.keys), 0))
        at = body.index(head) + len(head)
        return body[at] == floor_index(Availability.FREE)


class Waits:
    """Milliseconds, and what never showed."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.lost = 0

    def row(self) -> dict[str, float | int]:
        ordered = sorted(self.ms)
        at = {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 1) for p in (50, 95, 99)}
        return {"probes": len(ordered), **at, "max": round(ordered[-1], 1), "not_seen": self.lost}


async def find_probes(connection: Any, url: str) -> list[Probe]:
    """Published stations of operators with a single EVSE."""
    rows = await connection.fetch(queries.EVSE_PAGE, None, -1, -1, 10_000)
    evses = Counter(row["num"] for row in rows)
    found: list[Probe] = []
    async with aiohttp.ClientSession() as session:
        for row in rows[:-1]:  # the last station's EVSEs may go on behind the page
            if evses[row["num"]] != 1 or "*" not in row["party"]:
                continue
            async with session.get(f"{url}/v1/stations/{row['party']}~{row['location_id']}") as answer:
                told = orjson.loads(await answer.read())
            if answer.status == 200 and abs(told["lat"]) < 80:
                found.append(Probe(told["id"], row["num"], row["location_id"], row["uid"], told["lat"], told["lon"]))
            if len(found) == PROBES:
                break
    return found


async def measure(database_url: str, url: str, rate: float, seconds: float, import_stations: int) -> dict[str, object]:
    """The table as a dictionary. A producer, and an import if asked for, run beside as processes of their own."""
    connection = await asyncpg.connect(database_url)
    probes = await find_probes(connection, url)
    if not probes:
        raise SystemExit("mapsvc: no station has a single EVSE: generate a larger world")
    # A key each: two parties may name a location and an EVSE alike, and one key for both would leave open whose it is.
    keys = {party: await create_key(connection, [party], "measure") for party in {p.party for p in probes}}
    await connection.close()
    children = []
    if rate:
        children.append(await _child("measure", "produce", "--rate", str(rate), "--seconds", str(seconds + 5), "--url", url,
                                     "--leave-out", ",".join(p.id for p in probes)))  # fmt: skip
        await asyncio.sleep(2.0)
    if import_stations:
        children.append(
            await _child(
                "generate",
                "--stations",
                str(import_stations),
                "--seed",
                "77",
                "--prefix",
                f"I{time.time_ns() // 10**9}-",
            )
        )
    nearby, tile, ack = Waits(), Waits(), Waits()
    deadline = time.monotonic() + seconds
    try:
        await asyncio.gather(*(_probe_for(url, keys, probes[i::4], deadline, nearby, tile, ack, i) for i in range(4)))
        told = [(await child.communicate())[0].decode().strip() for child in children]
    finally:
        for child in children:
            if child.returncode is None:
                child.terminate()
    if any(child.returncode for child in children):
        raise SystemExit("mapsvc: the load beside the measurement failed; see above")
    result: dict[str, object] = {"nearby_ms": nearby.row(), "tile_ms": tile.row(), "ack_ms": ack.row()}
    if rate:
        result["producer"] = json.loads(told[0].splitlines()[-1])
    result["import_stations"] = import_stations
    return result


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mapsvc", *arguments, stdout=asyncio.subprocess.PIPE
    )


async def _probe_for(
    url: str,
    keys: dict[str, str],
    probes: list[Probe],
    deadline: float,
    nearby: Waits,
    tile: Waits,
    ack: Waits,
    seed: int,
) -> None:
    rng = random.Random(seed)  # noqa: S311 (a repeatable load, not a secret)
    client = await LeanClient(url).open()
    async with aiohttp.ClientSession() as session:
        while probes and time.monotonic() < deadline:
            probe = rng.choice(probes)
            path, is_free, waits = rng.choice(
                ((probe.nearby_path, probe.free_in_nearby, nearby), (probe.tile_path, probe.free_in_tile, tile))
            )
            wanted = not probe.free_in_nearby((await client.get(probe.nearby_path)).body)
            await _shows(client, path, is_free, not wanted)  # a tile may still owe the turn before
            update = {
                "evse_uid": probe.uid,
                "location_id": probe.location_id,
                "status": "AVAILABLE" if wanted else "OUTOFORDER",
                "source_ts": instant(time.time_ns() // 1_000_000),
            }
            began = time.monotonic()
            async with session.post(
                f"{url}/v1/status",
                data=orjson.dumps([update]),
                headers={"Authorization": f"Bearer {keys[probe.party]}"},
            ) as answer:
                outcome = orjson.loads(await answer.read())["outcomes"][0]["outcome"]
            acked = time.monotonic()
            ack.ms.append(1000 * (acked - began))
            if outcome == "confirmed":  # it had expired
                continue
            if outcome != "applied":
                raise RuntimeError(f"the update of {probe.id} was {outcome}")
            if await _shows(client, path, is_free, wanted):
                waits.ms.append(1000 * (time.monotonic() - acked))
            else:
                waits.lost += 1
                print(f"not seen: {update} of {probe} in {(await client.get(path)).body!r}", file=sys.stderr)
            await asyncio.sleep(rng.random() * 0.05)
    client.close()


async def _shows(client: LeanClient, path: str, is_free: Callable[[bytes], bool], wanted: bool) -> bool:
    """Waits until the answer says so; False if it does not within GIVE_UP_S."""
    until = time.monotonic() + GIVE_UP_S
    while is_free((await client.get(path)).body) != wanted:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(PAUSE_S)
    return True
