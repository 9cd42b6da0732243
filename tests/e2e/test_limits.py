"""Promise R11: each limit, at the limit and one above, through the real service; and the refusal names what was too much.

The doors have tests of their own (tests/mapsvc/test_params.py, test_body.py, test_limits.py, test_connections.py), bodies of
statuses are in test_whole_way.py and raw_corpus.py, time-outs in test_trickling.py. A box has no largest area: the list is
read in pages, and a page of the whole world costs what a page of a town does.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mapsvc.body import BODY_BYTES
from tests.e2e.raw import Closed, Raw
from tests.e2e.stack import PARTY, Answer, Stack
from tests.e2e.test_whole_way import location, problem

WORDS = ",".join(f"op{i}" for i in range(50))
AT_LIMIT: list[tuple[str, str, str, str]] = [  # path, name, the largest, one more
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "radius_m", "200000", "200000.1"),
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "radius_m", "1", "0.9"),
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "limit", "1000", "1001"),
    ("/v1/nearby?lon=2.2&{}", "lat", "90", "90.0001"),
    ("/v1/nearby?lat=48.8&{}", "lon", "-180", "-180.0001"),
    ("/v1/stations?bbox=-180,-90,180,90&{}", "limit", "1000", "1001"),
    ("/v1/stations?{}", "bbox", "-180,-90,180,90", "-180,-90,180,90.0001"),
    ("/v1/stations?{}", "ids", ",".join(["a"] * 100), ",".join(["a"] * 101)),
    ("/v1/stations?{}", "ids", "a" * 300, "a" * 301),
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "operator", WORDS, f"{WORDS},more"),
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "available", "1000", "1001"),
    ("/v1/nearby?lat=48.8&lon=2.2&{}", "min_power_kw", "10000", "10000.1"),
]
TILES = [("14/16383/16383", "15/0/0"), ("14/16383/0", "14/16384/0"), ("0/0/0", "0/0/1")]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "name", "most", "more"), AT_LIMIT, ids=lambda text: text[:40])
async def test_a_parameter_at_its_limit_and_one_above(
    shared_stack: Stack, path: str, name: str, most: str, more: str
) -> None:
    assert (await shared_stack.get(path.format(f"{name}={most}"))).status == 200
    told = problem(await shared_stack.get(path.format(f"{name}={more}")), 400)
    assert [fault["parameter"] for fault in told["errors"]] == [name]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("inside", "outside"), TILES)
async def test_tiles_end_where_the_world_does(shared_stack: Stack, inside: str, outside: str) -> None:
    assert (await shared_stack.get(f"/v1/tiles/stations/{inside}.mvt")).status == 200
    assert problem(await shared_stack.get(f"/v1/tiles/stations/{outside}.mvt"), 400)["errors"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_batch_has_at_most_a_thousand_updates(shared_stack: Stack) -> None:
    stack = shared_stack
    row = {"evse_uid": "nobody", "status": "AVAILABLE", "source_ts": "2026-01-01T00:00:00Z"}
    assert await stack.post([row] * 1000) == ["unknown_evse"] * 1000
    answer = await _send(stack, "POST", "/v1/status", json.dumps([row] * 1001).encode())
    assert "1000" in problem(answer, 422)["errors"][0]["allowed"].replace(",", "")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_idempotency_key_has_at_most_255_characters(shared_stack: Stack) -> None:
    for length, status in ((255, 200), (256, 400)):
        answer = await _send(shared_stack, "POST", "/v1/status", b"[]", {"Idempotency-Key": "k" * length})
        assert answer.status == status


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_station_document_of_a_mebibyte_is_taken_and_not_a_byte_more(
    shared_stack: Stack, encoding: str
) -> None:
    stack = shared_stack
    document = json.dumps(location(f"big-{encoding}", 48.0, 2.0, "2026-01-01T00:00:00Z")).encode()
    path = f"/v1/stations/{PARTY}~big-{encoding}"
    for size, status in ((BODY_BYTES + 1, 413), (BODY_BYTES, 201)):
        body = document.ljust(size)
        packed = gzip.compress(body, 1) if encoding == "gzip" else body
        answer = await _send(stack, "PUT", path, packed, {"Content-Encoding": encoding})
        assert answer.status == status, answer
        if status == 413:
            assert str(BODY_BYTES) in problem(answer, 413)["errors"][0]["allowed"]


@pytest.mark.asyncio(loop_scope="module")
async def test_other_bodies_are_of_64_kib(shared_stack: Stack) -> None:
    for size, status in ((65_536, 200), (65_537, 413)):
        assert (await _send(shared_stack, "POST", "/v1/heartbeat", b" " * size)).status == status
    for size, status in ((65_536, 404), (65_537, 413)):
        assert (await _send(shared_stack, "DELETE", f"/v1/stations/{PARTY}~none", b" " * size)).status == status


async def _send(stack: Stack, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    async with stack.session.request(
        method, stack.url + path, data=body, headers={**stack.auth, **(headers or {})}
    ) as response:
        return Answer(response.status, response.headers, await response.read())


# -- per address ------------------------------------------------------------------------------------------------------


class Limited(Stack):
    """One worker, so that its limits are the service's."""

    def __init__(self, database_url: str, redis_url: str, folder: Path, **limits: str) -> None:
        super().__init__(database_url, redis_url, folder, workers=1)
        self._limits = limits

    def environment(self, name: str) -> Mapping[str, str]:
        return {**super().environment(name), **self._limits}


async def test_one_address_holds_so_many_connections_and_one_more_is_told(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with Limited(database_url, redis_url, tmp_path, CONNECTIONS_PER_ADDRESS="5") as stack:
        await stack.fill(3)
        await stack.start("relay", "serve")
        async with AsyncExitStack() as open_ones:
            kept = [await open_ones.enter_async_context(Raw(stack.url)) for _ in range(5)]
            for raw in kept:
                assert (await raw.ask("/healthz")).status == 200
            for headers in ("", "X-Forwarded-For: 192.0.2.9\r\n"):
                async with Raw(stack.url) as one_more:
                    answer = await one_more.ask("/healthz", headers=headers)
                    assert (answer.status, answer.closes) == (429, True)
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert int(answer.headers["retry-after"]) >= 1
                    await one_more.closed(5)
            for raw in kept:  # whoever was there first goes on
                assert (await raw.ask("/healthz")).status == 200
        for _ in range(50):  # the server hears of their end in a moment
            async with Raw(stack.url) as raw:
                if (await raw.ask("/healthz")).status == 200:
                    break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("connections that ended still count")
        assert await stack.metric("serve-1", "mapsvc_refused") >= 2
        assert stack.complaints() == []


async def test_a_flood_of_connections_is_refused_without_harm(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """More at a time than are told why: the others are cut without a word."""
    async with Limited(database_url, redis_url, tmp_path, CONNECTIONS_PER_ADDRESS="5") as stack:
        await stack.fill(3)
        await stack.start("relay", "serve")

        async def knock() -> int:
            try:
                async with Raw(stack.url) as raw:
                    status = (await raw.ask("/healthz")).status
                    await asyncio.sleep(1)
                    return status
            except (Closed, OSError):
                return 0

        told = await asyncio.gather(*(knock() for _ in range(600)))
        assert set(told) <= {200, 429, 0} and told.count(200) >= 5 and told.count(429) >= 200, told
        await asyncio.sleep(1)
        assert (await stack.get("/healthz")).status == 200
        assert stack.complaints() == []


async def test_one_address_asks_so_often_and_once_more_is_told(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with Limited(database_url, redis_url, tmp_path, RATE_LIMIT="5") as stack:
        await stack.fill(3)
        await stack.start("relay", "serve")
        await asyncio.sleep(0.5)
        async with Raw(stack.url) as raw:
            answers = [await raw.ask("/healthz", headers=f"X-Forwarded-For: 192.0.2.{n}\r\n") for n in range(14)]
            statuses = [answer.status for answer in answers]
            assert statuses[:10] == [200] * 10 and statuses[-1] == 429, statuses
            assert int(answers[-1].headers["retry-after"]) >= 1
            await asyncio.sleep(1)
            assert (await raw.ask("/healthz")).status == 200
        assert stack.complaints() == []
