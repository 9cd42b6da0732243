"""Confirmations and the TTL, end to end: `seen_at` reaches every replica and the database, also one that starts later, and
what nobody confirms becomes UNKNOWN everywhere. Promise R7 through real processes."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from typing import Any

import asyncpg
import mapbox_vector_tile

from cache.client import Cache
from cache.keys import seen_key
from geo.station import SHARDS
from tests.e2e.stack import PARTY, Point, Stack, eventually
from tests.e2e.test_whole_way import location, send, tile_path

SOON_S = 10.0
TILE = tile_path(48.8, 2.2, 14)


async def evse_body(stack: Stack, evse: Point) -> dict[str, Any]:
    told = await stack.json(f"/v1/stations/{evse.station_id}")
    found: dict[str, Any] = next(e for e in told["evses"] if e["uid"] == evse.uid)
    return found


def ms(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


async def stored_seen_ms(stack: Stack, evse: Point) -> int:
    connection = await asyncpg.connect(stack.database_url)
    try:
        seen: int = await connection.fetchval(
            "SELECT seen_ms FROM evse WHERE num = $1 AND slot = $2", evse.num, evse.slot
        )
        return seen
    finally:
        await connection.close()


async def total_n(stack: Stack) -> int:
    connection = await asyncpg.connect(stack.database_url)
    try:
        n: int = await connection.fetchval("SELECT sum(n) FROM shard")
        return n
    finally:
        await connection.close()


async def forget_side_streams(stack: Stack) -> None:
    """As if they had been trimmed: a replica that starts now knows what stands in the cells."""
    cache = Cache(stack.redis_url)
    for shard in range(SHARDS):
        await cache.call("DEL", seen_key(shard))
    await cache.close()


async def test_past_its_ttl_a_status_is_unknown_everywhere_and_a_heartbeat_revives_it(stack: Stack) -> None:
    evse, other = (await stack.fill(1, ttl_s=3))[:2]
    await stack.start("ingest", "relay", "serve")
    station = f"/v1/stations/{evse.station_id}"
    assert await stack.post([stack.update(evse, "AVAILABLE"), stack.update(other, "CHARGING")]) == ["applied"] * 2

    async def shows(status: str, available: int, busy: int, unknown: int) -> bool:
        body = await stack.json(station)
        nearby = (await stack.json("/v1/nearby?lat=48.8&lon=2.2"))["stations"][0]["evses"]
        layers = mapbox_vector_tile.decode((await stack.get(TILE)).body)
        (tile,) = (feature["properties"] for feature in layers["stations"]["features"])
        told = (body["evse_counts"], nearby, {**tile, "available": tile["free"]})
        counts = [(c["available"], c["busy"], c["unknown"]) for c in told]
        return body["evses"][0]["status"] == status and set(counts) == {(available, busy, unknown)}

    async def everywhere(*state: Any) -> bool:
        return all([await shows(*state) for _ in range(4)])

    await eventually(lambda: everywhere("AVAILABLE", 1, 1, 0), 2.8)
    live = [(await stack.get(path)).headers["ETag"] for path in (station, TILE)]
    body = await evse_body(stack, evse)
    assert ms(body["expires_at"]) == ms(body["seen_at"]) + 3000

    await eventually(lambda: everywhere("UNKNOWN", 0, 0, 2), SOON_S)
    assert stack.clock_ms() >= ms(body["expires_at"])
    for path, etag in zip((station, TILE), live, strict=True):
        answers = [await stack.get(path, **{"If-None-Match": etag}) for _ in range(6)]
        assert all(answer.status == 200 and answer.headers["ETag"] != etag for answer in answers)
    body = await evse_body(stack, evse)
    assert (body["status"], body["reported_status"]) == ("UNKNOWN", "AVAILABLE")
    assert (await stack.json("/v1/nearby?lat=48.8&lon=2.2&available=1"))["stations"] == []

    beating = asyncio.create_task(_heartbeats(stack))
    await eventually(lambda: everywhere("AVAILABLE", 1, 1, 0), SOON_S)
    for _ in range(5):  # and keeps it alive
        await asyncio.sleep(0.5)
        assert await shows("AVAILABLE", 1, 1, 0)
    beating.cancel()
    await eventually(lambda: everywhere("UNKNOWN", 0, 0, 2), SOON_S)
    assert stack.complaints() == []


async def _heartbeats(stack: Stack) -> None:
    while True:
        assert (await send(stack, "POST", "/v1/heartbeat")).status == 200
        await asyncio.sleep(0.2)


async def test_a_confirmation_moves_seen_at_at_every_replica_and_nothing_else(stack: Stack) -> None:
    evse = (await stack.fill(3))[0]
    await stack.start("ingest", "relay", "serve")
    assert await stack.post([stack.update(evse, "CHARGING")]) == ["applied"]
    await eventually(lambda: _status_is(stack, evse, "CHARGING"), SOON_S)
    before, n = await evse_body(stack, evse), await total_n(stack)
    stored = await stored_seen_ms(stack, evse)
    tile = (await stack.get(TILE)).headers["ETag"]
    assert await stack.post([stack.update(evse, "CHARGING")]) == ["confirmed"]

    async def moved() -> bool:
        """every worker has the new seen_at"""
        return all([(await evse_body(stack, evse))["seen_at"] > before["seen_at"] for _ in range(6)])

    await eventually(moved, SOON_S)
    after = await evse_body(stack, evse)
    assert {k: v for k, v in after.items() if k not in ("seen_at", "expires_at")} == {
        k: v for k, v in before.items() if k not in ("seen_at", "expires_at")
    }
    assert await total_n(stack) == n
    assert (await stack.get(TILE)).headers["ETag"] == tile
    # The database hears of it a quarter of the TTL later, or at an orderly end; so does who starts after that.
    assert await stored_seen_ms(stack, evse) == stored
    assert await stack.stop("ingest") == 0
    assert await stored_seen_ms(stack, evse) == ms(after["seen_at"])
    await forget_side_streams(stack)
    await stack.stop("serve", signal.SIGINT)
    await stack.start("serve")
    assert (await evse_body(stack, evse))["seen_at"] == after["seen_at"]
    assert stack.complaints() == []


async def test_confirmations_are_written_every_quarter_of_the_ttl_and_later_replicas_know_them(stack: Stack) -> None:
    """Both ways into the cells: what ingest held back, and what the door wrote at once because the time had come."""
    rare, frequent = (await stack.fill(1, ttl_s=8))[:2]
    await stack.start("ingest", "relay", "serve")
    assert await stack.post([stack.update(rare, "CHARGING"), stack.update(frequent, "CHARGING")]) == ["applied"] * 2
    first = await stored_seen_ms(stack, frequent)
    for turn in range(9):
        await asyncio.sleep(0.6)
        due = [frequent, rare] if turn % 4 == 3 else [frequent]
        assert await stack.post([stack.update(evse, "CHARGING") for evse in due]) == ["confirmed"] * len(due)

    async def written() -> bool:
        """the database has a confirmation of both"""
        return min([await stored_seen_ms(stack, rare), await stored_seen_ms(stack, frequent)]) >= first + 2000

    await eventually(written, SOON_S)
    known = {evse: await stored_seen_ms(stack, evse) for evse in (rare, frequent)}
    await asyncio.sleep(1.2)  # until the cells have heard of it, too
    await forget_side_streams(stack)
    stack.kill("ingest")
    await stack.stop("serve", signal.SIGINT)
    await stack.start("serve")
    for evse in (rare, frequent):
        body = await evse_body(stack, evse)
        assert ms(body["seen_at"]) >= known[evse]
        assert ms(body["expires_at"]) == ms(body["seen_at"]) + 8000  # early at worst, never late
    await eventually(lambda: _status_is(stack, rare, "UNKNOWN"), 12)
    assert stack.complaints() == []


async def test_statuses_in_a_stations_document_confirm_and_are_ordered_like_any_other(stack: Stack) -> None:
    await stack.fill(1)
    await stack.start("ingest", "relay", "serve")
    path, evse = f"/v1/stations/{PARTY}~doc", Point(PARTY, "doc", "doc-a", 0, 0)
    assert (await send(stack, "PUT", path, json=location("doc", 48.8, 2.2, "2026-01-01T00:00:00Z"))).status == 201
    await eventually(lambda: _status_is(stack, evse, "AVAILABLE"), SOON_S)
    before = await evse_body(stack, evse)
    # Confirmed by a report that is not written yet, and then once more by a document: replicas hear of both.
    report = {"evse_uid": "doc-a", "location_id": "doc", "status": "AVAILABLE", "source_ts": "2026-03-01T00:00:00Z"}
    assert await stack.post([report]) == ["confirmed"]
    assert (await send(stack, "PUT", path, json=location("doc", 48.8, 2.2, "2026-04-01T00:00:00Z"))).status == 200

    async def moved() -> bool:
        """seen_at is that of the document"""
        return bool((await evse_body(stack, evse))["seen_at"] > before["seen_at"])

    await eventually(moved, SOON_S)
    # A document whose status lies before what was confirmed is late, though the database may not know that yet.
    report["source_ts"] = "2026-06-01T00:00:00Z"
    assert await stack.post([report]) == ["confirmed"]
    changed = location("doc", 48.8, 2.2, "2026-05-01T00:00:00Z", name="Renamed")
    changed["evses"][0]["status"] = "CHARGING"
    assert (await send(stack, "PUT", path, json=changed)).status == 200

    async def renamed() -> bool:
        """the document is shown"""
        return bool((await stack.json(path)).get("name") == "Renamed")

    await eventually(renamed, SOON_S)
    assert await stack.shown(evse) == "AVAILABLE"
    assert stack.complaints() == []


async def _status_is(stack: Stack, evse: Point, status: str) -> bool:
    """every worker shows the status"""
    return {await stack.shown(evse) for _ in range(6)} == {status}
