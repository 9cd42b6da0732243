"""A producer of status updates at a steady rate, for measurements: open loop, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import orjson

from geo.station import Status
from mapsvc.access import create_key
from mapsvc.bodies import instant
from sql import queries

CONNECTIONS = 8
TURN_S = 0.05  # a turn's updates go out together, as an operator's gateway would send them
STATUSES = (Status.AVAILABLE, Status.CHARGING, Status.OUTOFORDER, Status.RESERVED)


class Target(NamedTuple):
    party: str
    location_id: str
    uid: str


async def targets(connection: Any, limit: int, leave_out: set[str] | None = None) -> list[Target]:
    """EVSEs of live parties, from all over the store; not those of the stations (party~location) left out."""
    found: list[Target] = []
    num, slot = -1, -1
    while len(found) < limit:
        rows = await connection.fetch(queries.EVSE_PAGE, None, num, slot, 10_000)
        found += [
            Target(row["party"], row["location_id"], row["uid"])
            for row in rows
            if "*" in row["party"] and f"{row['party']}~{row['location_id']}".casefold() not in (leave_out or ())
        ]
        if len(rows) < 10_000:
            break
        num, slot = rows[-1]["num"], rows[-1]["slot"]
    return found[:limit]


async def produce(database_url: str, url: str, rate: float, seconds: float, leave_out: set[str], seed: int = 1) -> None:
    """Posts for a while, then prints one JSON line: offered, acknowledged, outcomes, ack latencies in ms."""
    connection = await asyncpg.connect(database_url)
    every = await targets(connection, 200_000, leave_out)
    key = await create_key(connection, sorted({t.party for t in every}), "measure")
    await connection.close()
    rng = random.Random(seed)  # noqa: S311 (a repeatable load, not a secret)
    outcomes: Counter[str] = Counter()
    waits: list[float] = []
    tasks: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    sent = 0
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        while (elapsed := time.monotonic() - began) < seconds:
            due = int(elapsed * rate) - sent
            for start in range(0, due, 1000):
                part = [every[rng.randrange(len(every))] for _ in range(min(1000, due - start))]
                tasks.add(asyncio.create_task(_post(session, url, key, part, rng, outcomes, waits)))
            sent += max(0, due)
            tasks = {task for task in tasks if not task.done()}
            await asyncio.sleep(TURN_S)
        await asyncio.gather(*tasks)
    took = time.monotonic() - began
    waits.sort()
    print(
        json.dumps(
            {
                "offered_per_s": rate,
                "sent": sent,
                "outcomes": dict(outcomes),
                "per_s": round(sum(outcomes.values()) / took, 1),
                "ack_ms": {
                    f"p{p}": round(1000 * waits[min(len(waits) - 1, len(waits) * p // 100)], 1) for p in (50, 99)
                },
            }
        ),
        flush=True,
    )


async def _post(
    session: aiohttp.ClientSession,
    url: str,
    key: str,
    part: Sequence[Target],
    rng: random.Random,
    outcomes: Counter[str],
    waits: list[float],
) -> None:
    at = instant(time.time_ns() // 1_000_000)
    updates = [
        {"evse_uid": t.uid, "location_id": t.location_id, "status": rng.choice(STATUSES).name, "source_ts": at}
        for t in part
    ]
    began = time.monotonic()
    try:
        async with session.post(
            f"{url}/v1/status", data=orjson.dumps(updates), headers={"Authorization": f"Bearer {key}"}
        ) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        outcomes[type(error).__name__] += len(part)
        return
    if answer.status != 200:
        outcomes[f"http_{answer.status}"] += len(part)
        return
    waits.append(time.monotonic() - began)
    outcomes.update(item["outcome"] for item in orjson.loads(body)["outcomes"])
