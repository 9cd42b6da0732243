"""Connections below HTTP, around a low-level server in this process, with short times. Promises R9 and R11."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from mapsvc import connections
from mapsvc.bad_http import wire
from mapsvc.connections import Connections, bind
from mapsvc.metrics import Metrics
from mapsvc.problems import Fault, Problem, TooMany
from tests.e2e.raw import Closed, Raw
from tests.mapsvc.live import eventually

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Service:
    """Answers `/slow` when told to, `/big` with 32 MiB, `/broken` with a failure, everything else at once."""

    def __init__(self, book: Connections, listener: socket.socket) -> None:
        self.book = book
        self.listener = listener
        self.url = "http://{}:{}".format(*listener.getsockname())
        self.go_on = asyncio.Event()
        self.asked = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        if request.path == "/slow":
            await self.go_on.wait()
        if request.path == "/broken":
            raise RuntimeError("a secret of the inside")
        if request.path == "/big":
            return web.Response(body=bytes(32 << 20))
        return web.Response(text=request.path)


@asynccontextmanager
async def serving(
    per_address: int = 0, listener: socket.socket | None = None, metrics: Metrics | None = None
) -> AsyncIterator[Service]:
    service = Service(Connections(metrics or Metrics("test"), per_address), listener or bind("127.0.0.1", 0))
    async with service.book.serving(web.Server(service.answer), service.listener):
        yield service


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"HEAD_S": 0.4, "SEND_S": 0.4, "LINGER_S": 0.2, "ENDING_S": 0.3, "SWEEP_S": 0.05}.items():
        monkeypatch.setattr(connections, name, seconds)


async def drained(service: Service, grace_s: float, hurry: asyncio.Event | None = None) -> float:
    began = time.monotonic()
    async with asyncio.timeout(20):
        await service.book.drain(grace_s, hurry or asyncio.Event())
    return time.monotonic() - began


# -- time-outs --------------------------------------------------------------------------------------------------------


async def test_half_a_head_is_answered_408_and_cut() -> None:
    async with serving() as service, Raw(service.url) as raw:
        await raw.send(GET[:20])
        answer = await raw.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert json.loads(answer.body)["status"] == 408
        await raw.closed(2)
        assert service.asked == 0


async def test_a_byte_now_and_then_buys_no_time() -> None:
    async with serving() as service, Raw(service.url) as raw:
        assert (await raw.ask("/")).status == 200

        async def trickle() -> None:
            for byte in GET[:-1]:
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        assert (await raw.answer()).status == 408
        assert not trickling.done(), "it was cut while it went on"
        trickling.cancel()


async def test_silence_is_cut_without_a_word() -> None:
    async with serving() as service, Raw(service.url) as raw:
        began = time.monotonic()
        await raw.closed(5)
        assert time.monotonic() - began > 0.3


async def test_between_requests_a_connection_may_be_silent_for_longer() -> None:
    async with serving() as service, Raw(service.url) as raw:
        for _ in range(2):
            assert (await raw.ask("/")).status == 200
            await asyncio.sleep(0.8)


async def test_a_request_that_takes_its_time_is_no_slow_head() -> None:
    async with serving() as service, Raw(service.url) as raw:
        await raw.send(GET.replace(b"/ ", b"/slow "))
        await asyncio.sleep(0.8)
        service.go_on.set()
        assert (await raw.answer()).status == 200


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
async def test_who_does_not_read_is_cut(closing: bytes) -> None:
    metrics = Metrics("test")
    async with serving(metrics=metrics) as service, Raw(service.url) as raw:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await raw.send(b"GET /big HTTP/1.1\r\nHost: h\r\n" + closing + b"\r\n")
        await eventually(lambda: b'mapsvc_connections{process="test"} 0.0' in metrics.exposition(), 5)


async def test_a_connection_that_was_closed_does_not_wait_for_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_S", 60.0)
    metrics = Metrics("test")
    async with serving(metrics=metrics) as service, Raw(service.url) as raw:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await raw.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.2)
        (connection,) = service.book._open
        connection.force_close()
        await eventually(lambda: b'mapsvc_connections{process="test"} 0.0' in metrics.exposition(), 5)


# -- how many ---------------------------------------------------------------------------------------------------------


async def test_at_the_limit_of_an_address_and_one_above() -> None:
    async with serving(per_address=2) as service, Raw(service.url) as one:
        async with Raw(service.url) as two:
            assert [(await raw.ask("/")).status for raw in (one, two)] == [200, 200]
            async with Raw(service.url) as three:
                answer = await three.ask("/")
                assert (answer.status, answer.closes) == (429, True)
                await three.closed(2)
        await asyncio.sleep(0.05)
        async with Raw(service.url) as again:
            assert (await again.ask("/")).status == 200


async def test_at_the_limit_of_the_process_and_one_above() -> None:
    async with serving() as service, Raw(service.url) as one:
        service.book.most = 1
        assert (await one.ask("/")).status == 200
        async with Raw(service.url) as two:
            answer = await two.ask("/")
            assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
        assert (await one.ask("/")).status == 200


async def test_a_refusal_is_no_reset_although_a_request_lay_there_unread() -> None:
    async with serving() as service:
        service.book.most = 0
        with socket.create_connection(service.listener.getsockname()) as client:
            client.sendall(GET)  # before the loop runs again: it is there when the server accepts
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            told = b""
            async with asyncio.timeout(5):
                while piece := await loop.sock_recv(client, 65_536):
                    told += piece
                    client.send(GET)
        assert told.startswith(b"HTTP/1.1 503 ")


async def test_only_so_many_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TURNING_AWAY", 1)
    async with serving() as service:
        service.book.most = 0
        async with Raw(service.url) as one, Raw(service.url) as two:
            assert (await one.ask("/")).status == 503
            with pytest.raises(Closed):
                await two.ask("/")
        await asyncio.sleep(0.4)
        async with Raw(service.url) as three:
            assert (await three.ask("/")).status == 503, "places are given back"


# -- the drain --------------------------------------------------------------------------------------------------------


async def test_a_drain_answers_what_comes_and_says_close() -> None:
    async with serving() as service, Raw(service.url) as kept:
        assert not (await kept.ask("/")).closes
        draining = asyncio.create_task(drained(service, 5))
        await asyncio.sleep(0.2)
        answer = await kept.ask("/")
        assert (answer.status, answer.closes) == (200, True)
        assert await draining < 2, "nobody is left to wait for"


async def test_a_drain_answers_all_that_is_pipelined() -> None:
    async with serving() as service, Raw(service.url) as kept:
        assert (await kept.ask("/")).status == 200
        draining = asyncio.create_task(drained(service, 5))
        await asyncio.sleep(0.1)
        await kept.send(GET * 3)
        assert [(await kept.answer()).closes for _ in range(3)] == [False, False, True]
        await draining


async def test_a_drain_waits_for_what_is_in_progress() -> None:
    async with serving() as service, Raw(service.url) as raw:
        await raw.send(GET.replace(b"/ ", b"/slow "))
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(drained(service, 0.1))
        await asyncio.sleep(0.5)
        assert not draining.done()
        service.go_on.set()
        answer = await raw.answer()
        assert (answer.status, answer.closes) == (200, True)
        await draining


async def test_silent_ones_are_closed_after_the_grace_or_at_once_in_a_hurry() -> None:
    async with serving() as service, Raw(service.url) as silent:
        assert (await silent.ask("/")).status == 200
        assert 0.5 < await drained(service, 0.6) < 2
        await silent.closed(1)
    async with serving() as service, Raw(service.url) as silent:
        assert (await silent.ask("/")).status == 200
        hurry = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, hurry.set)
        assert await drained(service, 10, hurry) < 2


async def test_whoever_knocks_during_a_drain_is_served_by_the_other_one_on_the_same_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 10.0)  # a hundred at once may take their time to ask
    listener = bind("127.0.0.1", 0)
    async with serving(listener=listener.dup()) as old, serving(listener=listener.dup()) as new:

        async def knock() -> int:
            async with Raw(new.url) as raw:
                return (await raw.ask("/", headers="Connection: close\r\n")).status

        knocking = [asyncio.create_task(knock()) for _ in range(100)]
        await asyncio.sleep(0)
        await drained(old, 5)
        knocking += [asyncio.create_task(knock()) for _ in range(100)]
        assert await asyncio.gather(*knocking) == [200] * 200
        assert new.asked >= 100
    listener.close()


# -- what is no HTTP --------------------------------------------------------------------------------------------------


async def test_a_failure_outside_of_all_guards_tells_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as service, Raw(service.url) as raw:
        answer = await raw.ask("/broken")
        assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
        assert b"secret" not in answer.body
        assert "failed outside" in caplog.text


async def test_garbage_is_told_and_does_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as service, Raw(service.url) as raw:
        await raw.send(b"some secret garbage\r\n\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert b"garbage" not in answer.body and "garbage" not in caplog.text


async def test_other_versions_and_expectations_do_not_reach_the_handler() -> None:
    async with serving() as service:
        for head, status in (
            (b"POST / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
            (b"POST / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
            (b"POST / HTTP/1.1\r\nHost: h\r\nExpect: \xff\r\n\r\n", 417),
        ):
            async with Raw(service.url) as raw:
                await raw.send(head)
                assert (await raw.answer()).status == status
        assert service.asked == 0


def test_an_answer_without_a_request_is_a_whole_one() -> None:
    problem = TooMany("Too many.", [Fault("x", "less")], retry_after_s=3)
    head, _, body = wire(problem).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 429 Too Many Requests"
    assert {"Connection: close", "Retry-After: 3", f"Content-Length: {len(body)}"} <= set(lines)
    assert body == problem.body()
    assert wire(Problem("x")).startswith(b"HTTP/1.1 400 ")
