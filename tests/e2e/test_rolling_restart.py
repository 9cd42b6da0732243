"""Promise R9: whoever restarts what, no request fails. The clients are bare sockets: they never send a request twice, so a
connection that is closed under a request shows.

A client that kept a connection silent for the whole grace of a drain may still meet its end (mapsvc/connections.py says
why); these here pause for less.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mapsvc.workers import GRACE_S, LINGER_S
from tests.e2e.raw import BadAnswerError, Closed, Raw, RawAnswer
from tests.e2e.stack import TORTURE, Stack, eventually

RESTARTS = 12 if TORTURE else 2
KEEPING, FRESH, WRITING, PIPELINING = (24, 8, 4, 4) if TORTURE else (8, 3, 2, 1)
PAUSES_S = (0.0, 0.002, 0.02, 0.2, 1.5)  # between the requests of one connection
ROLLED_S = 90.0
PATHS = (
    "/v1/nearby?lat=48.8&lon=2.2", "/v1/stations?bbox=2,48,3,49", "/v1/stations/FR*TST~L0", "/readyz",
    "/v1/tiles/stations/13/4146/2818.mvt", "/v1/tiles/stations/5/16/11.mvt",
)  # fmt: skip


class Load:
    """Clients that note every request and each that failed."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.requests: Counter[str] = Counter()
        self.failed: list[str] = []
        self.slowest_s = 0.0
        self._seed = seed

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        kinds: tuple[tuple[Callable[[random.Random], Awaitable[None]], int], ...] = (
            (self._keep, KEEPING), (self._fresh, FRESH), (self._write, WRITING), (self._pipeline, PIPELINING),
        )  # fmt: skip
        tasks = [
            asyncio.ensure_future(client(random.Random(f"{self._seed} {client.__name__} {number}")))
            for client, many in kinds
            for number in range(many)
        ]
        try:
            yield
            for task in tasks:
                assert not task.done() or task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _note(self, kind: str, asking: Awaitable[RawAnswer]) -> RawAnswer | None:
        """The answer; None when there was none, and that is a failure as an answer that is not 200 is."""
        began = time.monotonic()
        self.requests[kind] += 1
        try:
            answer = await asking
        except (Closed, BadAnswerError, TimeoutError, OSError) as error:
            self.failed.append(f"{kind}: {type(error).__name__} {error}")
            return None
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if answer.status != 200:
            self.failed.append(f"{kind}: {answer.status} {answer.body[:200]!r}")
        return answer

    async def _connections(self, kind: str) -> AsyncIterator[Raw]:
        """One after the other, for ever."""
        while True:
            try:
                async with Raw(self.stack.url, 30.0) as raw:
                    yield raw
            except OSError as error:
                self.failed.append(f"{kind}: connecting: {error}")
                await asyncio.sleep(0.05)

    async def _keep(self, draw: random.Random) -> None:
        pause_s = draw.choice(PAUSES_S)
        async for raw in self._connections("kept"):
            while True:
                answer = await self._note("kept", raw.ask(draw.choice(PATHS)))
                if answer is None or answer.closes:
                    break
                await asyncio.sleep(pause_s)

    async def _fresh(self, draw: random.Random) -> None:
        async for raw in self._connections("fresh"):
            await self._note("fresh", raw.ask(draw.choice(PATHS), headers="Connection: close\r\n"))
            await asyncio.sleep(0.005)

    async def _pipeline(self, draw: random.Random) -> None:
        async for raw in self._connections("pipelined"):
            answer: RawAnswer | None = None
            while answer is None or not answer.closes:
                paths = [draw.choice(PATHS) for _ in range(5)]
                await raw.send("".join(f"GET {path} HTTP/1.1\r\nHost: {raw.host}\r\n\r\n" for path in paths).encode())
                answers = [await self._note("pipelined", raw.answer()) for _ in paths]
                answer = answers[-1]
                if None in answers:
                    break
                await asyncio.sleep(0.05)

    async def _write(self, draw: random.Random) -> None:
        stack = self.stack
        evses = draw.sample(stack.evses, 8)
        auth = f"Authorization: Bearer {stack.key}\r\n"
        async for raw in self._connections("write"):
            while True:
                update = stack.update(draw.choice(evses), draw.choice(("AVAILABLE", "CHARGING", "BLOCKED")))
                body = json.dumps([update]).encode()
                answer = await self._note("write", raw.ask("/v1/status", method="POST", headers=auth, body=body))
                if answer is not None and answer.status == 200:
                    (told,) = json.loads(answer.body)["outcomes"]
                    # Two writers may have the same EVSE, so the later one of them can come first.
                    if told["outcome"] not in ("applied", "confirmed", "late"):
                        self.failed.append(f"write: {told}")
                if answer is None or answer.closes:
                    break
                await asyncio.sleep(0.01)

    def assert_perfect(self) -> None:
        print(f"{sum(self.requests.values())} requests {dict(self.requests)}, slowest {self.slowest_s:.2f} s")
        assert self.failed == []
        assert min(self.requests[kind] for kind in ("kept", "fresh", "write", "pipelined")) > 20, self.requests


async def rolled(stack: Stack) -> None:
    """One rolling restart, until the last old worker is gone."""
    before = set(stack.workers())
    assert len(before) == 2
    stack.signal("serve", signal.SIGHUP)

    async def all_new() -> bool:
        """two workers, none of them an old one"""
        now = set(stack.workers())
        return len(now) == 2 and not now & before

    await eventually(all_new, ROLLED_S)


async def test_workers_are_replaced_under_load_without_a_failed_request(stack: Stack) -> None:
    await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    load = Load(stack, seed=9)
    async with load.running():
        await asyncio.sleep(0.5)
        for _ in range(RESTARTS):
            await rolled(stack)
        await asyncio.sleep(0.5)
    load.assert_perfect()
    assert stack.complaints() == []


async def test_ingest_and_relay_restart_under_load_without_a_failed_request(stack: Stack) -> None:
    await stack.fill(40)
    await stack.start("ingest", "relay", "serve")
    load = Load(stack, seed=10)
    async with load.running():
        for role in ("ingest", "relay") * (RESTARTS // 2):
            await asyncio.sleep(0.5)
            assert await stack.stop(role) == 0
            await stack.start(role)
        await asyncio.sleep(0.5)
    load.assert_perfect()
    assert stack.complaints() == []


async def test_a_service_that_is_to_end_says_so_first_and_answers_until_it_does(stack: Stack) -> None:
    """What Kubernetes does: SIGTERM, while clients are still sent here for a moment."""
    await stack.fill(5)
    await stack.start("relay", "serve")
    stopping = asyncio.create_task(stack.stop("serve"))
    began = time.monotonic()
    await asyncio.sleep(0.5)
    while time.monotonic() - began < LINGER_S - 1:
        assert (await stack.get("/v1/nearby?lat=48.8&lon=2.2")).status == 200
        answer = await stack.get("/readyz")
        assert answer.status == 503
        assert json.loads(answer.body)["missing"] == ["service: it is being stopped"]
        await asyncio.sleep(0.05)
    async with Raw(stack.url) as kept:
        assert (await kept.ask("/healthz")).status == 200
        await asyncio.sleep(LINGER_S - (time.monotonic() - began) + 1.0)
        with pytest.raises(OSError):
            await stack.get("/healthz")
        last = await kept.ask("/v1/nearby?lat=48.8&lon=2.2")  # it is drained now
        assert (last.status, last.closes) == (200, True)
    assert await stopping == 0
    assert time.monotonic() - began < LINGER_S + GRACE_S
    assert stack.complaints() == []


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)], ids=["SIGINT", "SIGTERM twice"]
)
async def test_a_person_need_not_wait_for_idle_clients(stack: Stack, signals: tuple[signal.Signals, ...]) -> None:
    await stack.fill(5)
    await stack.start("relay", "serve")
    async with Raw(stack.url) as idle, Raw(stack.url) as silent:
        assert (await idle.ask("/healthz")).status == 200
        began = time.monotonic()
        for number in signals[:-1]:
            stack.signal("serve", number)
            await asyncio.sleep(0.2)
        serve = stack._processes["serve"]
        stack.signal("serve", signals[-1])
        assert await asyncio.to_thread(serve.wait, 20) == 0
        assert time.monotonic() - began < 3.0
        await idle.closed(1)
        await silent.closed(1)
    assert stack.complaints() == []


async def test_a_silent_client_holds_a_drain_no_longer_than_the_grace(stack: Stack) -> None:
    await stack.fill(5)
    await stack.start("relay", "serve")
    async with Raw(stack.url) as silent, Raw(stack.url) as half:
        assert (await silent.ask("/healthz")).status == 200
        await half.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n")
        began = time.monotonic()
        await rolled(stack)
        assert time.monotonic() - began < 2 * GRACE_S + 20
        await silent.closed(1)
    assert stack.complaints() == []


async def test_a_successor_that_never_gets_ready_leaves_the_old_ones_at_work(stack: Stack) -> None:
    """A broken upgrade. Here it is the successor's metrics socket, in whose place something else stands."""
    await stack.fill(5)
    await stack.start("relay", "serve")
    before = set(stack.workers())
    (stack.folder / "serve" / "run" / "serve-3.sock").mkdir()
    stack.signal("serve", signal.SIGHUP)

    async def given_up() -> bool:
        """the parent says so"""
        return any("does not get ready" in line["message"] for line in stack.log("serve"))

    await eventually(given_up, 20)
    assert set(stack.workers()) == before
    assert (await stack.get("/v1/nearby?lat=48.8&lon=2.2")).status == 200
    (stack.folder / "serve" / "run" / "serve-3.sock").rmdir()
    await rolled(stack)
