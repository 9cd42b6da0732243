"""`mapsvc simulate`: live-looking statuses for a demo, posted through the API like any operator's.

Cars come and go by the hour of each place's day (mapsvc.simulate_day), chargers break and are repaired, and once a minute
each party says that all the rest is still so. The demo begins as full as the hour would have it. Life goes at its own
pace: a demo of 20,000 stations sees some seven changes a second in the daytime and one at night.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import time
from collections.abc import Iterable
from datetime import timedelta, timezone, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import orjson

from geo.station import Station, Status, decode_doc
from mapsvc.access import create_key
from mapsvc.ingest.auth import key_hash
from mapsvc.instants import instant
from mapsvc.replay.layout import PARTY as REPLAYED
from mapsvc.role import Role
from mapsvc.settings import Settings
from mapsvc.simulate_day import FAST, SLOW, Change, Charger, Day
from sql import queries

log = logging.getLogger(__name__)

TURN_S = 1.0
HEARTBEAT_S = 60.0
PAGE = 5_000
MAX_EVSES = 60_000  # a demo needs no more
ABSENT = (Status.PLANNED, Status.REMOVED)
ROWS_AT_ONCE = 1000  # what POST /v1/status takes
PAUSE_S = (
    0.1  # between the posts of the beginning: some ten thousand statuses in ten seconds, and nobody waits for them
)


class Simulated(NamedTuple):
    """One EVSE that somebody could report: where it is, what it is, what it says now."""

    party: str
    location_id: str
    uid: str
    charger: Charger
    status: Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace, settings: Settings) -> int:
    return Role("simulate", settings).run(lambda role: simulate(role, args.seed))


async def simulate(role: Role, seed: int) -> None:
    """For ever, through the ingest URL, with keys of its own that end with it."""
    connection = await asyncpg.connect(role.settings.database_url)
    try:
        evses = await _evses(connection)
        keys = {party: await create_key(connection, [party], "simulate") for party in sorted({e.party for e in evses})}
    finally:
        await connection.close()
    if not evses:
        role.ready("-")
        await asyncio.Event().wait()
    base_url = role.settings.ingest_url or f"http://{role.settings.listen}:{role.settings.port}"
    try:
        async with aiohttp.ClientSession(base_url, timeout=aiohttp.ClientTimeout(total=10)) as session:
            role.ready("-")
            await asyncio.gather(_live_for_ever(session, role, keys, evses, seed), _beat_for_ever(session, keys))
    finally:
        await _revoke(role.settings, keys.values())


async def _evses(connection: Any) -> list[Simulated]:
    """Of a register nobody could report, and a replay reports its own. What is not there has no cars."""
    evses: list[Simulated] = []
    num, slot = -1, -1
    while len(evses) < MAX_EVSES:
        rows = await connection.fetch(queries.EVSE_PAGE, None, num, slot, PAGE)
        ours = [row for row in rows if "*" in row["party"] and row["party"] != REPLAYED]
        nums = sorted({row["num"] for row in ours})
        chargers = {
            row["num"]: _chargers(decode_doc(row["doc"]))
            for row in await connection.fetch(queries.STATIONS_BY_NUM, nums)
        }
        evses += (
            Simulated(r["party"], r["location_id"], r["uid"], chargers[r["num"]][r["slot"]], Status(r["status"]))
            for r in ours
            if r["slot"] in chargers.get(r["num"], ()) and Status(r["status"]) not in ABSENT
        )
        if len(rows) < PAGE:
            break
        num, slot = rows[-1]["num"], rows[-1]["slot"]
    return evses[:MAX_EVSES]


def _chargers(station: Station) -> dict[int, Charger]:
    """By slot."""
    zone = zone_of(station)
    return {
        evse.slot: Charger(FAST if any(plug.power_type == "DC" for plug in evse.connectors) else SLOW, zone)
        for evse in station.evses
    }


def zone_of(station: Station) -> tzinfo:
    """The station's own zone, else the hour by its longitude: near enough for when cars come."""
    if station.time_zone is not None:
        try:
            return ZoneInfo(station.time_zone)
        except (KeyError, ValueError, OSError):
            pass
    return timezone(timedelta(hours=round(station.lon / 15)))


async def _live_for_ever(
    session: aiohttp.ClientSession, role: Role, keys: dict[str, str], evses: list[Simulated], seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (a demo, not a secret)
    day = await asyncio.to_thread(Day, [evse.charger for evse in evses], time.time(), rng)
    opening = [Change(i, status) for i, status in enumerate(day.statuses) if status is not evses[i].status]
    for party, changes in by_party(opening, evses).items():
        for start in range(0, len(changes), ROWS_AT_ONCE):
            await _report(session, role, keys[party], changes[start : start + ROWS_AT_ONCE], evses)
            await asyncio.sleep(PAUSE_S)
    while True:
        for party, changes in by_party(day.advance(time.time()), evses).items():
            for start in range(0, len(changes), ROWS_AT_ONCE):
                await _report(session, role, keys[party], changes[start : start + ROWS_AT_ONCE], evses)
        await asyncio.sleep(TURN_S)


def by_party(changes: Iterable[Change], evses: list[Simulated]) -> dict[str, list[Change]]:
    """The last change of each EVSE: what came before it within the turn nobody saw."""
    parties: dict[str, dict[int, Change]] = {}
    for change in changes:
        parties.setdefault(evses[change.charger].party, {})[change.charger] = change
    return {party: list(latest.values()) for party, latest in parties.items()}


async def _report(
    session: aiohttp.ClientSession, role: Role, key: str, changes: list[Change], evses: list[Simulated]
) -> None:
    at = instant(time.time_ns() // 1_000_000)
    updates = [
        {
            "location_id": evses[change.charger].location_id,
            "evse_uid": evses[change.charger].uid,
            "status": change.status.name,
            "source_ts": at,
        }
        for change in changes
    ]
    await _post(session, "/v1/status", key, orjson.dumps(updates))
    role.metrics.count("mapsvc_simulated_updates", len(updates))


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


async def _revoke(settings: Settings, keys: Iterable[str]) -> None:
    connection = await asyncpg.connect(settings.database_url, timeout=5)
    try:
        for key in keys:
            await connection.execute(queries.API_KEY_REVOKE, key_hash(key))
    finally:
        await connection.close()
