"""CPU-µs per request of the API workers: what they used (their own metrics) divided by what was asked."""

from __future__ import annotations

import asyncio
import random
import re

import aiohttp
import orjson

from geo.tilemath import tile_of
from mapsvc.measure.lean import LeanClient

POINTS = 2000
CONNECTIONS = 8
REQUESTS = 12_000


FILTERS = {
    "nearby": "",
    "nearby, connector + power": "&connector=IEC_62196_T2_COMBO&min_power_kw=100",
    "nearby, available": "&available",
    "nearby, rarest": "&connector=CHAOJI",
}


async def measure(url: str, admin_url: str) -> dict[str, float]:
    """By kind of request: CPU-µs of the workers. Query points lie where stations are dense."""
    async with aiohttp.ClientSession() as session:
        places = await _places(session, url)
        kinds = {
            name: [f"/v1/nearby?lat={lat:.6f}&lon={lon:.6f}&limit=20{query}" for lat, lon in places]
            for name, query in FILTERS.items()
        }
        tiles = [tile_of(lat, lon, 13) for lat, lon in places[:200]]
        kinds["hot tile z13"] = [f"/v1/tiles/stations/{t.z}/{t.x}/{t.y}.mvt" for t in tiles]
        kinds["hot tile z5"] = [f"/v1/tiles/stations/5/{t.x >> 8}/{t.y >> 8}.mvt" for t in tiles[:20]]
        result = {}
        for name, paths in kinds.items():
            await _ask(
                url, paths, min(len(paths), 2000)
            )  # covers and tiles get warm, as they are after a minute of use
            before = await of_workers(session, admin_url, "cpu_seconds_total")
            await _ask(url, paths, REQUESTS)
            result[name] = round(
                1e6 * (await of_workers(session, admin_url, "cpu_seconds_total") - before) / REQUESTS, 1
            )
        return result


async def _places(session: aiohttp.ClientSession, url: str) -> list[tuple[float, float]]:
    rng = random.Random(1)  # noqa: S311
    found: list[tuple[float, float]] = []
    path: str | None = f"{url}/v1/stations?bbox=-180,-80,180,80&limit=1000"
    while path and len(found) < 20 * POINTS:
        async with session.get(path) as answer:
            found += [(s["lat"], s["lon"]) for s in orjson.loads(await answer.read())["stations"]]
            link = answer.links.get("next")
            path = str(link["url"]) if link else None
    return [
        (min(80, max(-80, lat + rng.gauss(0, 0.01))), min(179, max(-179, lon + rng.gauss(0, 0.01))))
        for lat, lon in rng.choices(found, k=POINTS)
    ]


async def of_workers(session: aiohttp.ClientSession, admin_url: str, metric: str) -> float:
    """The sum of a metric over all API workers."""
    async with session.get(f"{admin_url}/metrics") as answer:
        text = await answer.text()
    return sum(map(float, re.findall(rf'^mapsvc_{metric}\{{process="serve-\d+"\}} ([0-9.e+-]+)$', text, re.MULTILINE)))


async def _ask(url: str, paths: list[str], count: int) -> None:
    async def one(part: list[str]) -> None:
        client = await LeanClient(url).open()
        requests = [client.request(path) for path in part]
        for i in range(count // CONNECTIONS):
            status = (await client.send(requests[i % len(requests)])).status
            if status != 200:
                raise RuntimeError(f"answered {status}")
        client.close()

    await asyncio.gather(*(one(paths[i::CONNECTIONS] or paths) for i in range(CONNECTIONS)))
