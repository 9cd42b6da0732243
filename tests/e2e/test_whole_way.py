"""The whole way through real processes: what is acknowledged is shown, and what is wrong is refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import mapbox_vector_tile
import pytest

from geo.tilemath import pixels
from tests.e2e.compare import assert_all_equal
from tests.e2e.stack import PARTY, Answer, Point, Stack, eventually, rfc3339

pytestmark = pytest.mark.asyncio(loop_scope="module")

VISIBLE_S = 10.0  # milliseconds on a quiet machine; this one may be shared
SETTLED_S = 2.5  # an aggregate tile is republished at most once a second, and summed up as rarely
Decoded = dict[str, Any]


def tile_path(lat: float, lon: float, z: int) -> str:
    at = pixels([lat], [lon], z)
    return f"/v1/tiles/stations/{z}/{int(at.x[0])}/{int(at.y[0])}.mvt"


async def features(stack: Stack, path: str) -> dict[int, Decoded]:
    """The properties of a tile's features by id."""
    answer = await stack.get(path)
    assert answer.status == 200, answer
    layers = mapbox_vector_tile.decode(answer.body)
    return {f["id"]: f["properties"] for layer in layers.values() for f in layer["features"]}


def location(location_id: str, lat: float, lon: float, last_updated: str, **more: Any) -> dict[str, Any]:
    """An OCPI Location with one EVSE."""
    evse = {
        "uid": f"{location_id}-a",
        "evse_id": "FR*TST*E1",
        "status": "AVAILABLE",
        "connectors": [
            {
                "id": "1", "standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE",
                "max_voltage": 230, "max_amperage": 32, "last_updated": last_updated,
            }
        ],
        "last_updated": last_updated,
    }  # fmt: skip
    return {
        "country_code": "FR", "party_id": "TST", "id": location_id, "publish": True, "address": "Rue 1",
        "city": "Paris", "country": "FRA", "coordinates": {"latitude": f"{lat:.6f}", "longitude": f"{lon:.6f}"},
        "evses": [evse], "time_zone": "Europe/Paris", "last_updated": last_updated, **more,
    }  # fmt: skip


async def send(stack: Stack, method: str, path: str, **kwargs: Any) -> Answer:
    kwargs.setdefault("headers", stack.auth)
    async with stack.session.request(method, stack.url + path, **kwargs) as response:
        return Answer(response.status, response.headers, await response.read())


def problem(answer: Answer, status: int) -> Decoded:
    """The problem that an answer must be."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: Decoded = json.loads(answer.body)
    assert told["status"] == status
    assert told["title"] and told["detail"]
    return told


# -- what is acknowledged is shown ------------------------------------------------------------------------------------


async def test_an_acknowledged_status_is_shown_by_station_list_nearby_and_both_kinds_of_tile(
    shared_stack: Stack,
) -> None:
    stack, evse = shared_stack, shared_stack.evses[0]
    assert await stack.post([stack.update(evse, "OUTOFORDER")]) == ["applied"]

    async def all_show_it() -> bool:
        nearby = (await stack.json("/v1/nearby?lat=48.8&lon=2.2&limit=1"))["stations"][0]
        listed = (await stack.json(f"/v1/stations?ids={evse.station_id}"))["stations"][0]
        station_tile = (await features(stack, tile_path(48.8, 2.2, 14)))[evse.num]
        aggregate = (await features(stack, "/v1/tiles/stations/0/0/0.mvt")).values()
        return (
            await stack.shown(evse) == "OUTOFORDER"
            and nearby["evses"]["out_of_service"] == listed["evses"]["out_of_service"] == 1
            and station_tile["out_of_service"] == 1
            and sum(cell["out_of_service"] for cell in aggregate) == 1
        )

    await eventually(all_show_it, VISIBLE_S)
    assert await stack.post([stack.update(evse, "AVAILABLE")]) == ["applied"]


async def test_every_worker_shows_the_same_bytes_under_the_same_etag_and_answers_304_for_it(
    shared_stack: Stack,
) -> None:
    stack, evse = shared_stack, shared_stack.evses[2]
    paths = (f"/v1/stations/{evse.station_id}", tile_path(48.8, 2.2, 13), tile_path(48.8, 2.2, 9))
    etags: dict[str, str] = {}
    for status in ("CHARGING", "OUTOFORDER"):
        await stack.post([stack.update(evse, status)])

        async def agreed(path: str) -> bool:
            """all workers show one new ETag"""
            answers = [await stack.get(path) for _ in range(8)]
            told = {(answer.headers["ETag"], answer.body) for answer in answers}
            return len(told) == 1 and answers[0].headers["ETag"] != etags.get(path)

        await asyncio.sleep(SETTLED_S)
        for path in paths:
            await eventually(partial(agreed, path), VISIBLE_S)
            etags[path] = (await stack.get(path)).headers["ETag"]
            for _ in range(6):
                unchanged = await stack.get(path, **{"If-None-Match": etags[path]})
                assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", etags[path])


async def test_a_station_is_put_moved_and_deleted_and_its_tiles_follow(shared_stack: Stack) -> None:
    stack = shared_stack
    path = f"/v1/stations/{PARTY}~moving"
    here, there = (48.2, 2.5), (-33.9, 151.2)
    first = location("moving", *here, "2026-01-01T00:00:00Z")
    answer = await send(stack, "PUT", path, json=first)
    assert answer.status == 201, answer

    async def stands(at: tuple[float, float], elsewhere: tuple[float, float]) -> bool:
        around = await stack.json(f"/v1/nearby?lat={at[0]}&lon={at[1]}")
        num = await _num_of(stack, f"{PARTY}~moving".casefold())
        return (
            f"{PARTY}~moving" in [s["id"] for s in around["stations"]]
            and num in await features(stack, tile_path(*at, 14))
            and num not in await features(stack, tile_path(*elsewhere, 14))
        )

    await eventually(lambda: stands(here, there), VISIBLE_S)
    moved = location("moving", *there, "2026-01-02T00:00:00Z")
    assert (await send(stack, "PUT", path, json=moved)).status == 200
    await eventually(lambda: stands(there, here), VISIBLE_S)
    problem(await send(stack, "PUT", path, json=first), 409)
    assert json.loads((await send(stack, "PUT", path, json=moved)).body)["outcome"] == "unchanged"

    assert (await send(stack, "DELETE", path)).status == 204

    async def gone() -> bool:
        """the station is nowhere"""
        answers = [await stack.get(path) for _ in range(6)]
        tile = await features(stack, tile_path(*there, 14))
        return all(answer.status == 404 for answer in answers) and not tile

    await eventually(gone, VISIBLE_S)
    problem(await send(stack, "DELETE", path), 404)
    late = stack.update(Point(PARTY, "moving", "moving-a", 0, 0), "CHARGING")
    assert await stack.post([late]) == ["unknown_evse"]
    again = location("moving", *here, "2026-01-03T00:00:00Z")
    assert (await send(stack, "PUT", path, json=again)).status == 201
    await eventually(lambda: stands(here, there), VISIBLE_S)
    await assert_all_equal(stack)


async def _num_of(stack: Stack, key: str) -> int:
    connection = await asyncpg.connect(stack.database_url)
    try:
        num: int = await connection.fetchval("SELECT num FROM station WHERE key = $1", key)
        return num
    finally:
        await connection.close()


async def test_an_unpublished_station_is_shown_nowhere(shared_stack: Stack) -> None:
    stack = shared_stack
    secret = location("secret", 47.0, 3.0, "2026-01-01T00:00:00Z", publish=False)
    assert (await send(stack, "PUT", f"/v1/stations/{PARTY}~secret", json=secret)).status == 201
    assert await stack.post([stack.update(Point(PARTY, "secret", "secret-a", 0, 0), "CHARGING")]) == ["applied"]
    await assert_all_equal(stack)
    assert (await stack.get(f"/v1/stations/{PARTY}~secret")).status == 404
    assert (await stack.json("/v1/nearby?lat=47&lon=3&radius_m=1000"))["stations"] == []
    assert await features(stack, tile_path(47.0, 3.0, 14)) == {}
    shown = location("secret", 47.0, 3.0, "2026-01-02T00:00:00Z")
    assert (await send(stack, "PUT", f"/v1/stations/{PARTY}~secret", json=shown)).status == 200
    await assert_all_equal(stack)
    evse = Point(PARTY, "secret", "secret-a", 0, 0)
    assert await stack.shown(evse) == "CHARGING"
    hidden = location("secret", 47.0, 3.0, "2026-01-03T00:00:00Z", publish=False)
    assert (await send(stack, "PUT", f"/v1/stations/{PARTY}~secret", json=hidden)).status == 200
    await eventually(lambda: _is_404(stack, f"/v1/stations/{PARTY}~secret"), VISIBLE_S)
    await assert_all_equal(stack)


async def _is_404(stack: Stack, path: str) -> bool:
    return all([(await stack.get(path)).status == 404 for _ in range(6)])


# -- batches ----------------------------------------------------------------------------------------------------------


async def test_each_row_of_a_batch_has_its_outcome_and_the_good_ones_are_stored(shared_stack: Stack) -> None:
    stack, evse = shared_stack, shared_stack.evses[4]
    now_ms = stack.now_ms()
    rows: list[Any] = [
        stack.update(evse, "CHARGING", now_ms),
        stack.update(evse, "CHARGING", now_ms + 1),
        stack.update(evse, "AVAILABLE", now_ms - 60_000),
        stack.update(evse, "AVAILABLE", now_ms + 1_000_000),
        {"evse_uid": "nobody", "status": "AVAILABLE", "source_ts": rfc3339(now_ms)},
        {"evse_uid": evse.uid, "status": "Available", "source_ts": rfc3339(now_ms)},
        {"evse_uid": evse.uid, "status": "AVAILABLE"},
        7,
        stack.update(evse, "BLOCKED", now_ms + 2),
    ]
    told = ["applied", "confirmed", "late", "future", "unknown_evse", "malformed", "malformed", "malformed", "applied"]
    assert await stack.post(rows) == told

    async def shown() -> bool:
        return await stack.shown(evse) == "BLOCKED"

    await eventually(shown, VISIBLE_S)


async def test_ndjson_and_compressed_bodies_are_taken(shared_stack: Stack) -> None:
    stack = shared_stack
    rows = [stack.update(evse, "RESERVED") for evse in stack.evses[6:9]]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    for packed, encoding in ((gzip.compress(body), "gzip"), (zlib.compress(body), "deflate")):
        headers = {**stack.auth, "Content-Encoding": encoding, "Content-Type": "application/x-ndjson"}
        answer = await send(stack, "POST", "/v1/status", data=packed, headers=headers)
        assert answer.status == 200, answer
        expected = "applied" if encoding == "gzip" else "confirmed"
        assert [o["outcome"] for o in json.loads(answer.body)["outcomes"]] == [expected] * 3


async def test_an_idempotency_key_replays_the_stored_outcomes(shared_stack: Stack) -> None:
    stack, evse = shared_stack, shared_stack.evses[10]
    headers = {**stack.auth, "Idempotency-Key": "once-1"}
    rows = [stack.update(evse, "CHARGING")]
    first = await send(stack, "POST", "/v1/status", json=rows, headers=headers)
    assert [o["outcome"] for o in json.loads(first.body)["outcomes"]] == ["applied"]
    await stack.post([stack.update(evse, "AVAILABLE")])
    again = await send(stack, "POST", "/v1/status", json=rows, headers=headers)
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    other = await send(stack, "POST", "/v1/status", json=[stack.update(evse, "BLOCKED")], headers=headers)
    problem(other, 409)
    together = await asyncio.gather(
        *(
            send(stack, "POST", "/v1/status", json=rows, headers={**stack.auth, "Idempotency-Key": "once-2"})
            for _ in range(5)
        )
    )
    assert len({answer.body for answer in together}) == 1


async def test_a_heartbeat_names_the_parties_of_the_key(shared_stack: Stack) -> None:
    answer = await send(shared_stack, "POST", "/v1/heartbeat")
    assert (answer.status, json.loads(answer.body)) == (200, {"parties": [PARTY]})


# -- what is wrong is refused -----------------------------------------------------------------------------------------


async def test_writing_needs_a_key_that_holds_the_party(shared_stack: Stack) -> None:
    stack = shared_stack
    body = [stack.update(stack.evses[0], "CHARGING")]
    for headers in ({}, {"Authorization": "Bearer msk_wrong"}, {"Authorization": "Basic YTpi"}):
        for method, path in (
            ("POST", "/v1/status"),
            ("POST", "/v1/heartbeat"),
            ("PUT", f"/v1/stations/{PARTY}~L0"),
            ("DELETE", f"/v1/stations/{PARTY}~L0"),
        ):
            answer = await send(stack, method, path, json=body, headers=headers)
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    foreign = {**location("x", 1.0, 1.0, "2026-01-01T00:00:00Z"), "country_code": "DE", "party_id": "OTH"}
    problem(await send(stack, "PUT", "/v1/stations/DE*OTH~x", json=foreign), 403)
    problem(await send(stack, "DELETE", "/v1/stations/DE*OTH~x"), 403)
    # The body may not say otherwise than the path.
    problem(await send(stack, "PUT", f"/v1/stations/{PARTY}~x", json=foreign), 422)


async def test_unknown_paths_and_methods_are_told(shared_stack: Stack) -> None:
    stack = shared_stack
    problem(await send(stack, "GET", "/v1/nothing"), 404)
    problem(await send(stack, "GET", f"/v1/stations/{PARTY}~nowhere"), 404)
    problem(await send(stack, "DELETE", "/v1/stations/without-tilde"), 404)
    answer = await send(stack, "DELETE", "/v1/status")
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]
    problem(await send(stack, "POST", "/v1/status?dry_run=1", json=[]), 400)


async def test_a_bad_envelope_stores_nothing_and_says_why(shared_stack: Stack) -> None:
    stack = shared_stack
    row = stack.update(stack.evses[12], "BLOCKED")
    for data, status in (
        (b"", 400),
        (b"[", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (json.dumps([row] * 1001).encode(), 422),
    ):
        told = problem(await send(stack, "POST", "/v1/status", data=data), status)
        assert told["errors"][0]["allowed"]
    crooked = location("L0", 95.0, 2.2, "2026-01-01T00:00:00Z")
    told = problem(await send(stack, "PUT", f"/v1/stations/{PARTY}~L0", json=crooked), 422)
    assert told["errors"][0]["pointer"].startswith("/coordinates")
    assert await stack.shown(stack.evses[12]) == "UNKNOWN"


async def test_bodies_that_lie_about_their_encoding_are_refused(shared_stack: Stack) -> None:
    stack = shared_stack
    whole = gzip.compress(b"[]")
    for encoding, data in (("gzip", b"no gzip"), ("br", b"x"), ("gzip", whole[:-4]), ("gzip", whole * 2)):
        headers = {**stack.auth, "Content-Encoding": encoding}
        told = problem(await send(stack, "POST", "/v1/status", data=data, headers=headers), 400)
        assert told["errors"][0]["allowed"]
    assert (await stack.get("/healthz")).status == 200


async def test_a_body_over_the_limit_is_refused_whatever_its_encoding(shared_stack: Stack) -> None:
    stack = shared_stack
    at_limit = b" " * ((1 << 20) - 2) + b"[]"
    assert (await send(stack, "POST", "/v1/status", data=at_limit)).status == 200
    problem(await send(stack, "POST", "/v1/status", data=b" " + at_limit), 413)
    headers = {**stack.auth, "Content-Encoding": "gzip"}
    assert (await send(stack, "POST", "/v1/status", data=gzip.compress(at_limit), headers=headers)).status == 200
    problem(await send(stack, "POST", "/v1/status", data=gzip.compress(b" " + at_limit), headers=headers), 413)


async def test_a_gibibyte_of_zeros_in_one_mebibyte_is_refused_without_unpacking_it(shared_stack: Stack) -> None:
    stack = shared_stack
    bomb = await asyncio.to_thread(_bomb)
    assert len(bomb) < 1_048_576
    pids = [*stack.workers(), stack.pid("ingest")]
    before = {pid: (_cpu_s(pid), _status(pid, "VmRSS:")) for pid in pids}
    headers = {**stack.auth, "Content-Encoding": "gzip"}
    for _ in range(5):
        problem(await send(stack, "POST", "/v1/status", data=bomb, headers=headers), 413)
    for pid, (cpu_s, resident) in before.items():
        assert _cpu_s(pid) - cpu_s < 0.5  # unpacking all five takes 5 s
        assert _status(pid, "VmHWM:") - resident < 64 << 20


def _bomb() -> bytes:
    """Deflate repeats a MiB of zeros as the same bytes for ever: they need not be computed a thousand times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * 1000 + packer.flush()  # its checksum is wrong; nobody should get that far


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _status(pid: int, name: str) -> int:
    """Bytes of a line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


async def test_neither_keys_nor_positions_reach_a_log(shared_stack: Stack) -> None:
    """R10. Good, bad and unreadable requests; whatever stands in them, no log repeats it."""
    stack = shared_stack
    key = stack.auth["Authorization"].removeprefix("Bearer ")
    place = "41.987612"
    assert (await stack.get(f"/v1/nearby?lat={place}&lon=2.345678")).status == 200
    assert (await stack.get(f"/v1/nearby?lat={place}x&lon=2.345678")).status == 400
    assert (await send(stack, "POST", "/v1/status", data=f'[{{"evse_uid":"{place}"'.encode())).status == 400
    await stack.post([{"evse_uid": place, "status": "CHARGING", "source_ts": "2026-01-01T00:00:00Z"}])
    url = urlsplit(stack.url)
    for line in (f"GET /v1/nearby?lat={place} HTTP/9", f"\x00{place} {key}", f"GET / HTTP/1.1\r\nAuthorization {key}"):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(line.encode() + b"\r\n\r\n")
        await asyncio.wait_for(reader.read(4096), 10)
        writer.close()
    text = "".join(log.read_text() for log in stack.folder.glob("*.log"))
    assert place not in text and "2.345678" not in text
    assert key not in text and key[4:] not in text
