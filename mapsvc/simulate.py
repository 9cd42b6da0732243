"""`mapsvc simulate`: live-looking statuses for a demo, posted through the API like any operator's.

Each turn some EVSEs change as chargers do (a car comes, a car goes, one breaks, one is repaired), and once a minute each
party says that all the rest is still so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import orjson

from geo.station import Status
from mapsvc.access import create_key
from mapsvc.role import Role
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

TURN_S = 1.0
HEARTBEAT_S = 60.0
PAGE = 10_000
MAX_EVSES = 60_000  # one party's change is one in a thousand a second: beyond this a demo needs no more

# What follows what, with weights: mostly cars come and go.
_NEXT = {
    Status.AVAILABLE: ((Status.CHARGING, 94), (Status.OUTOFORDER, 2), (Status.RESERVED, 3), (Status.BLOCKED, 1)),
    Status.CHARGING: ((Status.AVAILABLE, 97), (Status.OUTOFORDER, 1), (Status.BLOCKED, 2)),
    Status.RESERVED: ((Status.CHARGING, 80), (Status.AVAILABLE, 20)),
    Status.BLOCKED: ((Status.AVAILABLE, 100),),
    Status.OUTOFORDER: ((Status.AVAILABLE, 90), (Status.INOPERATIVE, 10)),
    Status.INOPERATIVE: ((Status.AVAILABLE, 100),),
    Status.UNKNOWN: ((Status.AVAILABLE, 70), (Status.CHARGING, 30)),
}


class Simulated(NamedTuple):
    location_id: str
    uid: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=20.0, metavar="N", help="status changes a second (default: 20)")
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace, settings: Settings) -> int:
    return Role("simulate", settings).run(lambda role: simulate(role, args.rate, args.seed))


async def simulate(role: Role, rate: float, seed: int) -> None:
    """For ever: changes at `rate`, through the ingest URL, with a key of its own that ends with it."""
    connection = await asyncpg.connect(role.settings.database_url)
    try:
        evses, statuses = await _evses(connection)
        if not evses:
            role.ready("-")
            await asyncio.Event().wait()
        keys = {party: await create_key(connection, [party], "simulate") for party in {p for p, _ in evses}}
    finally:
        await connection.close()
    base_url = role.settings.ingest_url or f"http://{role.settings.listen}:{role.settings.port}"
    rng = random.Random(seed)  # noqa: S311 (a demo, not a secret)
    async with aiohttp.ClientSession(base_url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        role.ready("-")
        await asyncio.gather(
            _change_for_ever(session, role, keys, evses, statuses, rng, rate), _beat_for_ever(session, keys)
        )


async def _evses(connection: Any) -> tuple[list[tuple[str, Simulated]], list[Status]]:
    evses: list[tuple[str, Simulated]] = []
    statuses: list[Status] = []
    num, slot = -1, -1
    while len(evses) < MAX_EVSES:
        rows = await connection.fetch(queries.EVSE_PAGE, None, num, slot, PAGE)
        for row in rows:
            if "*" in row["party"]:  # a register has nobody who could report
                evses.append((row["party"], Simulated(row["location_id"], row["uid"])))
                statuses.append(Status(row["status"]))
        if len(rows) < PAGE:
            break
        num, slot = rows[-1]["num"], rows[-1]["slot"]
    return evses, statuses


async def _change_for_ever(
    session: aiohttp.ClientSession,
    role: Role,
    keys: dict[str, str],
    evses: list[tuple[str, Simulated]],
    statuses: list[Status],
    rng: random.Random,
    rate: float,
) -> None:
    while True:
        chosen = rng.sample(range(len(evses)), min(len(evses), max(1, round(rate * TURN_S))))
        for party, updates in _turn(chosen, evses, statuses, rng):
            await _post(session, "/v1/status", keys[party], orjson.dumps(updates))
            role.metrics.count("mapsvc_simulated_updates", len(updates))
        await asyncio.sleep(TURN_S)


def _turn(
    chosen: list[int], evses: list[tuple[str, Simulated]], statuses: list[Status], rng: random.Random
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The updates of one turn by party; `statuses` moves on."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    by_party: dict[str, list[dict[str, str]]] = {}
    for i in chosen:
        party, evse = evses[i]
        following, weights = zip(*_NEXT.get(statuses[i], _NEXT[Status.UNKNOWN]), strict=True)
        statuses[i] = rng.choices(following, weights)[0]
        by_party.setdefault(party, []).append(
            {"location_id": evse.location_id, "evse_uid": evse.uid, "status": statuses[i].name, "source_ts": at}
        )
    return iter(by_party.items())


async def _beat_for_ever(session: aiohttp.ClientSession, keys: dict[str, str]) -> None:
    while True:
        for key in keys.values():
            await _post(session, "/v1/heartbeat", key, b"")
        await asyncio.sleep(HEARTBEAT_S)


async def _post(session: aiohttp.ClientSession, path: str, key: str, body: bytes) -> None:
    """A failure is the demo's loss only: the next turn comes."""
    try:
        async with session.post(path, data=body, headers={"Authorization": f"Bearer {key}"}) as answer:
            await answer.read()
            if answer.status != 200:
                log.warning("not accepted", extra={"status": answer.status, "path": path})
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("not reached", extra={"error": type(error).__name__})
