"""How long from the acknowledgement of an update until nearby and the tile show it, while other updates flow.

A probe is a station that is alone in its z 14 tile, so that any change of that tile's bytes is its own. Each probe flips
one EVSE between OUTOFORDER and AVAILABLE, and asks again and again until the answer differs. What is measured includes
one round trip of the asking (about 1 ms) and the pause between two (2 ms).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import NamedTuple

import aiohttp
import asyncpg
import orjson

from geo.tilemath import tile_of
from mapsvc.access import create_key
from mapsvc.bodies import instant
from mapsvc.measure.lean import LeanClient

PROBES = 64
PAUSE_S = 0.002
GIVE_UP_S = 10.0


class Probe(NamedTuple):
    id: str
    party: str
    location_id: str
    uid: str
    lat: float
    lon: float

    @property
    def nearby_path(self) -> str:
        return f"/v1/nearby?lat={self.lat}&lon={self.lon}&radius_m=1&limit=1"

    @property
    def tile_path(self) -> str:
        tile = tile_of(self.lat, self.lon, 14)
        return f"/v1/tiles/stations/{tile.z}/{tile.x}/{tile.y}.mvt"


class Waits:
    """Milliseconds, and what never showed."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.lost = 0

    def row(self) -> dict[str, float | int]:
        ordered = sorted(self.ms)
        at = {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 1) for p in (50, 95, 99)}
        return {"probes": len(ordered), **at, "max": round(ordered[-1], 1), "not_seen": self.lost}


async def find_probes(url: str) -> list[Probe]:
    """Stations alone in their z 14 tile, with a single EVSE, at one position each."""
    found: list[Probe] = []
    alone: Counter[tuple[int, ...]] = Counter()
    stations: list[dict[str, object]] = []
    path: str | None = f"{url}/v1/stations?bbox=-180,-90,180,90&limit=1000"
    async with aiohttp.ClientSession() as session:
        while path and len(stations) < 20_000:
            async with session.get(path) as answer:
                stations += orjson.loads(await answer.read())["stations"]
                link = answer.links.get("next")
                path = str(link["url"]) if link else None
        for station in stations:
            alone[tile_of(float(str(station["lat"])), float(str(station["lon"])), 14)] += 1
        for station in stations:
            lat, lon = float(str(station["lat"])), float(str(station["lon"]))
            if alone[tile_of(lat, lon, 14)] != 1 or abs(lat) > 80:
                continue
            async with session.get(f"{url}/v1/stations/{station['id']}") as answer:
                told = orjson.loads(await answer.read())
            if "*" not in told["party"] or len(told["evses"]) != 1:
                continue
            probe = Probe(told["id"], told["party"], told["location_id"], told["evses"][0]["uid"], lat, lon)
            async with session.get(url + probe.tile_path) as answer:
                if len(await answer.read()) < 700:  # one feature and the layer's dictionary: nobody else stands there
                    found.append(probe)
            if len(found) == PROBES:
                break
    return found


async def measure(database_url: str, url: str, rate: float, seconds: float, import_stations: int) -> dict[str, object]:
    """The table as a dictionary. A producer, and an import if asked for, run beside as processes of their own."""
    probes = await find_probes(url)
    if not probes:
        raise SystemExit("mapsvc: no station is alone in its tile: generate a larger world")
    connection = await asyncpg.connect(database_url)
    key = await create_key(connection, sorted({p.party for p in probes}), "measure")
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
    await asyncio.gather(*(_probe_for(url, key, probes[i::4], deadline, nearby, tile, ack, i) for i in range(4)))
    told = [(await child.communicate())[0].decode().strip() for child in children]
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
    url: str, key: str, probes: list[Probe], deadline: float, nearby: Waits, tile: Waits, ack: Waits, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (a repeatable load, not a secret)
    client = await LeanClient(url).open()
    states: dict[str, bool] = {}
    async with aiohttp.ClientSession() as session:
        while probes and time.monotonic() < deadline:
            probe = rng.choice(probes)
            path, waits = (probe.nearby_path, nearby) if rng.random() < 0.5 else (probe.tile_path, tile)
            before = (await client.get(path)).body
            broken = states[probe.id] = not states.get(probe.id, False)
            update = {
                "evse_uid": probe.uid,
                "location_id": probe.location_id,
                "status": "OUTOFORDER" if broken else "AVAILABLE",
                "source_ts": instant(time.time_ns() // 1_000_000),
            }
            began = time.monotonic()
            async with session.post(
                f"{url}/v1/status", data=orjson.dumps([update]), headers={"Authorization": f"Bearer {key}"}
            ) as answer:
                outcome = orjson.loads(await answer.read())["outcomes"][0]["outcome"]
            acked = time.monotonic()
            ack.ms.append(1000 * (acked - began))
            if outcome != "applied":
                continue  # the first flip may confirm what stood
            while (await client.get(path)).body == before:
                if time.monotonic() - acked > GIVE_UP_S:
                    waits.lost += 1
                    break
                await asyncio.sleep(PAUSE_S)
            else:
                waits.ms.append(1000 * (time.monotonic() - acked))
            await asyncio.sleep(rng.random() * 0.05)
    client.close()
