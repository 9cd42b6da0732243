"""What live subscribers cost, and how long an acknowledged update takes to reach them.

Subscribers are raw connections with viewports where stations are dense; they read and count. Probes flip a station with a
single EVSE in the middle of such a viewport and wait until its subscriber has received the event that says so.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import orjson

from mapsvc.access import create_key
from mapsvc.bodies import instant
from mapsvc.measure.cost import of_workers
from mapsvc.measure.freshness import Probe, Waits, find_probes

HALF_DEG = 0.05  # half a viewport: some 7 × 11 km
OPENING_AT_ONCE = 50
GIVE_UP_S = 10.0


_WHOLE = re.compile(rb"\nid: [0-9a-f]+\.")  # the first cursor: the snapshot before it has been read


class Subscriber:
    """Reads for ever; counts, and tells a waiting probe of its station's events."""

    def __init__(self, url: str, lat: float, lon: float) -> None:
        self.bytes = 0
        self.messages = 0
        self.snapshot_bytes = 0
        self.told = asyncio.Event()
        self._wanted: tuple[bytes, bytes] | None = None
        self._parts = urlsplit(url)
        box = f"{lon - HALF_DEG:.4f},{lat - HALF_DEG:.4f},{lon + HALF_DEG:.4f},{lat + HALF_DEG:.4f}"
        self._path = f"/v1/live?bbox={box}"

    async def open(self) -> Subscriber:
        self._reader, self._writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writer.write(f"GET {self._path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"not subscribed: {head[:200]!r}")
        data = b""
        while not _WHOLE.search(data):
            data += await self._reader.read(1 << 16)
        self.snapshot_bytes = len(data)
        self._task = asyncio.create_task(self._read())
        return self

    def expect(self, station_id: str, free: bool) -> None:
        self._wanted = (f'{{"id":"{station_id}"'.encode(), b'"available":%d' % free)
        self.told.clear()

    async def _read(self) -> None:
        tail = b""
        while data := await self._reader.read(1 << 16):
            self.bytes += len(data)
            self.messages += data.count(b"\nid: ")
            if self._wanted is not None:
                tail += data
                station, word = self._wanted
                at = tail.rfind(station)
                end = tail.find(b'"seen_at"', at)
                if at >= 0 and end >= 0 and word in tail[at:end]:
                    self.told.set()
                tail = tail[-4096:]

    def close(self) -> None:
        self._task.cancel()
        self._writer.transport.abort()


async def measure(
    database_url: str, url: str, admin_url: str, subscribers: int, rate: float, seconds: float
) -> dict[str, object]:
    connection = await asyncpg.connect(database_url)
    probes = await find_probes(connection, url)
    keys = {party: await create_key(connection, [party], "measure") for party in {p.party for p in probes}}
    await connection.close()
    rng = random.Random(1)  # noqa: S311
    async with aiohttp.ClientSession() as session:
        before = await of_workers(session, admin_url, "resident_bytes")
    watchers = [await Subscriber(url, probe.lat, probe.lon).open() for probe in probes[:16]]
    others: list[Subscriber] = []
    centres = [rng.choice(probes) for _ in range(subscribers - len(watchers))]
    for start in range(0, len(centres), OPENING_AT_ONCE):
        part = centres[start : start + OPENING_AT_ONCE]
        near = [Subscriber(url, p.lat + rng.gauss(0, 0.02), p.lon + rng.gauss(0, 0.02)) for p in part]
        others += await asyncio.gather(*(subscriber.open() for subscriber in near))
    everyone = [*watchers, *others]
    await asyncio.sleep(2)
    async with aiohttp.ClientSession() as session:
        grown = await of_workers(session, admin_url, "resident_bytes") - before
    producer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mapsvc", "measure", "produce", "--rate", str(rate), "--seconds", str(seconds + 5),
        "--url", url, "--leave-out", ",".join(p.id for p in probes), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await asyncio.sleep(3)
        waits, ack = Waits(), Waits()
        async with aiohttp.ClientSession() as session:
            cpu = await of_workers(session, admin_url, "cpu_seconds_total")
            messages, began = sum(s.messages for s in everyone), time.monotonic()
            deadline = began + seconds
            await asyncio.gather(
                *(
                    _probe(
                        session, url, keys, list(zip(probes[:16], watchers, strict=True))[i::4], deadline, waits, ack
                    )
                    for i in range(4)
                )
            )
            took = time.monotonic() - began
            used = await of_workers(session, admin_url, "cpu_seconds_total") - cpu
            told = sum(s.messages for s in everyone) - messages
        out = (await producer.communicate())[0].decode()
    finally:
        if producer.returncode is None:
            producer.terminate()
    for subscriber in everyone:
        subscriber.close()
    return {
        "subscribers": len(everyone),
        "snapshot_bytes": round(sum(s.snapshot_bytes for s in everyone) / len(everyone)),
        "worker_kb_per_subscriber": round(grown / 1024 / len(everyone), 1),
        "worker_cpu_share": round(used / took, 3),
        "worker_cpu_us_per_message": round(1e6 * used / max(1, told), 1),
        "messages_per_s": round(told / took, 1),
        "ack_to_receipt_ms": waits.row(),
        "ack_ms": ack.row(),
        "producer": json.loads(out.splitlines()[-1]),
    }


async def _probe(
    session: aiohttp.ClientSession,
    url: str,
    keys: dict[str, str],
    pairs: list[tuple[Probe, Subscriber]],
    deadline: float,
    waits: Waits,
    ack: Waits,
) -> None:
    free = False
    while time.monotonic() < deadline:
        free = not free
        for probe, subscriber in pairs:
            subscriber.expect(probe.id, free)
            update = {
                "evse_uid": probe.uid,
                "location_id": probe.location_id,
                "status": "AVAILABLE" if free else "OUTOFORDER",
                "source_ts": instant(time.time_ns() // 1_000_000),
            }
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {keys[probe.party]}"}
            async with session.post(f"{url}/v1/status", data=orjson.dumps([update]), headers=headers) as answer:
                outcome = orjson.loads(await answer.read())["outcomes"][0]["outcome"]
            acked = time.monotonic()
            ack.ms.append(1000 * (acked - began))
            if outcome != "applied":
                continue  # the first flip may confirm what stood
            try:
                async with asyncio.timeout(GIVE_UP_S):
                    await subscriber.told.wait()
                waits.ms.append(1000 * (time.monotonic() - acked))
            except TimeoutError:
                waits.lost += 1
