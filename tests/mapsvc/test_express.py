"""The short way of hot reads against aiohttp's own: the same bytes are sent both ways, and the answers must be equal, field by
field. What takes the short way is asserted too, or the comparison would prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, NamedTuple, cast

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.station import Status
from geo.world import World
from mapsvc import connections
from mapsvc.bodies import Bodies
from mapsvc.connections import Connection, Connections, Headers, bind
from mapsvc.express import Express
from mapsvc.guard import Guard
from mapsvc.limits import RateLimit
from mapsvc.metrics import Metrics
from mapsvc.reading import Reader
from mapsvc.tiles import Tiles
from tests.e2e.raw import BadAnswerError, Closed, Raw
from tests.e2e.raw_corpus import CORPUS, UPDATE, WRITE, Case
from tests.geo.model_world import State, Told
from tests.geo.worlds import DAY, START_MS, make_evse, make_station, packed
from tests.mapsvc.roads.without import no_drive_times
from tests.mapsvc.test_bodies import packed_record

ID = "DE*ABC~L3"
TILE = "/v1/tiles/stations/13/4149/2818.mvt"
TARGETS = (
    "/v1/nearby?lat=48.8566&lon=2.3522",
    "/v1/nearby?lat=48.8566&lon=2.3522&limit=2&connector=IEC_62196_T2&min_power_kw=3",
    "/v1/nearby?lon=2.3522&lat=48.8566&available",
    "/v1/nearby?lat=48.8566&lon=2.3522&limit=500&radius_m=50000",
    "/v1/nearby?lat=48.8566&lon=2.3522&operator=Stra%C3%9Fe",
    "/v1/nearby?lat=48.8566&lon=2.3522&operator=a%2Cb+c&open_now=true",
    "/v1/nearby?lat=48.8566&lon=2.3522&format=geojson&fields=name,lat",
    TILE, TILE + "?available", TILE + "?available=1&connector=CHAOJI,IEC_62196_T2",
    "/v1/tiles/stations/3/4/2.mvt", "/v1/tiles/stations/0/0/0.mvt", "/v1/tiles/stations/14/1/1.mvt",
    "/v1/tiles/stations.json", "/v1/tiles/stations.json?available",
    f"/v1/stations/{ID}", f"/v1/stations/{ID.lower()}",
)  # fmt: skip
"""What the short way takes, and answers with 200."""

ODD = (
    "/v1/nearby", "/v1/nearby?", "/v1/nearby?lat=91&lon=2", "/v1/nearby?lat=48&lon=2&lat=48", "/v1/nearby?lat=48&lon=2&",
    "/v1/nearby?lat=48&lon=2&x=1", "/v1/nearby?lat=%34%38&lon=2", "/v1/nearby?lat=48&lon=2&limit=0", "/v1/nearby?lat=nan&lon=2",
    "/v1/nearby?lat=48&lon=2#part", "/v1/nearby?lat=48&lon=2&operator=%zz", "/v1/nearby?lat=48&lon=2&operator=%ff",
    "/v1/nearby?lat=48&lon=2&operator=\xe9", "/v1/nearby?lat=48;lon=2", "/v1/nearby/?lat=48&lon=2", "/v1/nearby?lat= 48&lon=2",
    "/v1/nearby?lat=48&lon=2&operator=%00", "/v1/nearby?lat=48&lon=2&operator=%26lat%3D1", "//v1/nearby?lat=48&lon=2",
    "/v1/nearby?lat=+48&lon=2", "/v1/nearby?lat=48&lon=2&available=&available=", "/v1/nearby?" + "a=b&" * 50,
    "/v1/nearby?lat=48&lon=2&operator=" + "x" * 8000,
    "/v1/tiles/stations/15/1/1.mvt", "/v1/tiles/stations/3/9/2.mvt", "/v1/tiles/stations/03/4/2.mvt",
    "/v1/tiles/stations/3/4/2.mvt?", "/v1/tiles/stations/3/4/2.mvt?x", "/v1/tiles/stations/3/4/2",
    "/v1/tiles/stations/%33/4/2.mvt",
    "/v1/tiles/stations/٣/4/2.mvt", "/v1/tiles/stations/3/4/-2.mvt", "/v1/tiles/stations/" + "9" * 40 + "/1/1.mvt",
    "/v1/tiles/stations/1/2/../1.mvt", "/v1/tiles/stations.json?x=1", "/v1/tiles/stations.json#f",
    "/v1/stations/nobody", "/v1/stations/..", "/v1/stations/.", f"/v1/stations/{ID}?fields=name", f"/v1/stations/{ID}/",
    f"/v1/stations/{ID.replace('*', '%2A')}", f"/v1/stations/{ID}?", f"/V1/stations/{ID}", "http://h/v1/tiles/stations.json",
)  # fmt: skip
"""What it may leave to the application, or answer as the application does."""

HEADS = (
    "", "Accept-Encoding: gzip\r\n", "Accept-Encoding: gzip;q=0, br\r\n", "Accept-Encoding: *\r\n", "If-None-Match: *\r\n",
    'If-None-Match: "nothing"\r\n', "If-None-Match:\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n", "Content-Length: 0\r\n", "Upgrade: h2c\r\nConnection: Upgrade\r\n", "Origin: http://o\r\n",
    "Range: bytes=0-1\r\n",
)  # fmt: skip


LAST = b"GET /v1/stations?ids=x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


class Way(NamedTuple):
    url: str
    taken: list[str]  # what took the short way
    book: Connections


class Ways(NamedTuple):
    short: Way
    long: Way


class Got(NamedTuple):
    """`headers` without the Date; `end`: how the connection ended after the answers, or that it did not."""

    answers: list[tuple[int, dict[str, str], bytes]]
    end: str


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"HEAD_S": 0.6, "LINGER_S": 0.2, "SWEEP_S": 0.05}.items():
        monkeypatch.setattr(connections, name, seconds)


def world_of_three() -> World:
    world = World()
    stations = [
        make_station(3, 48.8566, 2.3522, [make_evse(0), make_evse(1)], opening_times=DAY),
        make_station(6, 48.8577, 2.3544, [make_evse(0)], operator="Straße"),
        *(make_station(10 + i, 48.85 + i / 9000, 2.35, [make_evse(0)]) for i in range(100)),
    ]
    told = [Told(num, 1, station) for num, station in enumerate(stations, 1)]
    states = [State(1, 0, 2, Status.AVAILABLE, START_MS - 7, START_MS)]
    world.put([packed_record(one) for one in told], packed(states), START_MS)
    return world


@asynccontextmanager
async def both(ready: bool = True, rate: int = 0) -> AsyncIterator[Ways]:
    """One reader, served twice: with the short way, and by the application alone."""
    world = world_of_three()
    reader = Reader(
        world, Tiles(world), Bodies(world), lambda: START_MS, lambda: ready, "http://maps.test", no_drive_times(world)
    )
    async with way(reader, rate, True) as short, way(reader, rate, False) as long:
        yield Ways(short, long)


@asynccontextmanager
async def way(reader: Reader, rate: int, short: bool) -> AsyncIterator[Way]:
    guard, taken = Guard(Metrics("test"), RateLimit(rate)), list[str]()
    app = web.Application(middlewares=[guard.middleware()])
    app.add_routes(reader.routes())
    book, listener = Connections(Metrics("test")), bind("127.0.0.1", 0)
    if short:

        class Noting(Express):
            def answer(self, path: str, headers: Headers, network: str) -> bytes | None:
                sent = super().answer(path, headers, network)
                if sent is not None:
                    taken.append(path)
                return sent

        book.at_once = Noting(reader, guard)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    async with book.serving(runner.server, listener):
        yield Way("http://{}:{}".format(*listener.getsockname()), taken, book)
    await runner.cleanup()


async def exchange(
    url: str, pieces: tuple[bytes, ...], methods: tuple[str, ...], pause_s: float = 0.0, last: bytes = b""
) -> Got:
    """All that comes back, until the connection ends or is silent; `last` is a request that ends it."""
    answers: list[tuple[int, dict[str, str], bytes]] = []
    async with Raw(url, 3.0) as raw:
        for piece in pieces:
            await raw.send(piece)
            await asyncio.sleep(pause_s)
        if last:
            await asyncio.sleep(0.03)
            await raw.send(last)
        while True:
            method = methods[min(len(answers), len(methods) - 1)]
            try:
                async with asyncio.timeout(1.0):
                    answer = await raw.answer(method)
            except TimeoutError:
                return Got(answers, "silent")
            except (Closed, BadAnswerError) as error:
                return Got(answers, type(error).__name__)
            headers = {name: value for name, value in answer.headers.items() if name != "date"}
            assert "date" in answer.headers or answer.status >= 400
            answers.append((answer.status, headers, answer.body))


async def compare(
    ways: Ways, pieces: tuple[bytes, ...], methods: tuple[str, ...] = ("GET",), pause_s: float = 0.0, last: bytes = LAST
) -> Got:
    """What comes back both ways, without the answer to `last`."""
    short, long = await asyncio.gather(*(exchange(w.url, pieces, methods, pause_s, last) for w in ways))
    assert short == long
    if last and short.answers and short.answers[-1][1].get("connection") == "close":
        short.answers.pop()
    return short


def request(target: str, head: str = "", method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return f"{method} {target} {version}\r\nHost: h\r\n{head}\r\n".encode("utf-8" if "٣" in target else "latin-1")


async def test_what_is_asked_for_plainly_takes_the_short_way_and_is_answered_alike() -> None:
    async with both() as ways:
        for target in TARGETS:
            ways.short.taken.clear()
            got = await compare(ways, (request(target), request(target, "Accept-Encoding: gzip\r\n")), pause_s=0.05)
            assert [status for status, _, _ in got.answers] == [200, 200], target
            etag = got.answers[1][1].get("etag")
            if etag is not None:
                again = await compare(ways, (request(target, f"Accept-Encoding: gzip\r\nIf-None-Match: W/{etag}\r\n"),))
                assert [status for status, _, _ in again.answers] == [304]
            assert ways.short.taken == [target] * (2 if etag is None else 3)


async def test_every_head_and_method_is_answered_alike() -> None:
    async with both() as ways:
        cases = [(t, h, "GET", "HTTP/1.1") for t in (*TARGETS, *ODD) for h in HEADS]
        cases += [
            (t, "", m, v) for t in TARGETS for m, v in (("HEAD", "HTTP/1.1"), ("GET", "HTTP/1.0"), ("POST", "HTTP/1.1"))
        ]
        cases += [(t, "Connection: keep-alive\r\n", "GET", "HTTP/1.0") for t in TARGETS]
        cases += [(t, "", "OPTIONS", "HTTP/1.1") for t in TARGETS]
        for start in range(0, len(cases), 100):
            await asyncio.gather(
                *(compare(ways, (request(t, h, m, v),), (m,)) for t, h, m, v in cases[start : start + 100])
            )
        assert len(ways.short.taken) > 10 * len(TARGETS)


LINES = (
    "GET  {} HTTP/1.1", "GET {}  HTTP/1.1", "GET {} HTTP/1.1 HTTP/1.1", "get {} HTTP/1.1", "GET\t{} HTTP/1.1",
    "GET {} HTTP/1.0",
    "GET {} HTTP/1.2", "GET {}\r HTTP/1.1", "GET {}\0 HTTP/1.1", "GET {} HTTP/1.1\r\nExpect: 100-continue", "GET {} http/1.1",
    " GET {} HTTP/1.1", "\r\nGET {} HTTP/1.1", "GET /{} HTTP/1.1", "GET h{} HTTP/1.1", "GET {} HTTP/1.1\r\n", "GET {}",
    "POST {} HTTP/1.1", "GET {} HTTP/1.1\r\n\r\nGET {} HTTP/1.1", "GET {} HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
)  # fmt: skip
"""Request lines, and what may stand before the rest of a head that was heard before."""


@pytest.fixture
def heard_again(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was answered without being parsed."""
    found: list[bytes] = []
    plain = Connection._answered_again

    def noting(self: Connection, data: bytes, at_once: Any) -> bool:
        answered = plain(self, data, at_once)
        if answered:
            found.append(data)
        return answered

    monkeypatch.setattr(Connection, "_answered_again", noting)
    return found


async def test_a_head_that_was_heard_before_is_answered_alike(heard_again: list[bytes]) -> None:
    async with both() as ways:
        pairs: list[tuple[bytes, ...]] = [
            (request(TARGETS[0], h), request(t, h)) for t in (*TARGETS, *ODD) for h in HEADS
        ]
        pairs += [(request(TILE, h), request(TILE, other)) for h in HEADS for other in HEADS if h != other]
        pairs += [
            (request(TILE), line.replace("{}", t).encode() + b"\r\nHost: h\r\n\r\n") for line in LINES for t in TARGETS
        ]
        pairs += [(request(TILE) + b"GET /v1/sta", b"tions/x HTTP/1.1\r\nHost: h\r\n\r\n")]
        # What looks like a request of its own is the value of a header here.
        pairs += [(request(TILE) + b"GET / HTTP/1.1\r\nHost: h\r\nX: ", request(t)) for t in TARGETS]
        pairs += [(request(TILE), b"GET / HTTP/1.1\r\nHost: h\r\nX: ", request(t)) for t in TARGETS]
        for start in range(0, len(pairs), 100):
            await asyncio.gather(*(compare(ways, pieces, pause_s=0.05) for pieces in pairs[start : start + 100]))
        assert len(heard_again) > 5 * len(TARGETS)
        assert all(data.startswith(b"GET /") and data.count(b"\r\n\r\n") == 1 for data in heard_again)


async def test_many_requests_on_one_connection_are_parsed_once(heard_again: list[bytes]) -> None:
    async with both() as ways:
        asked = tuple(request(t, "Accept-Encoding: gzip\r\n") for t in TARGETS * 3)
        got = await compare(ways, asked, pause_s=0.02)
        assert [status for status, _, _ in got.answers] == [200] * len(asked)
        assert len(heard_again) == len(asked) - 1


def filled(case: Case, target: bytes) -> tuple[bytes, ...]:
    write = WRITE.replace(b"@UPDATE@", UPDATE)
    known = {
        b"@HOST@": b"h",
        b"@KEY@": b"k",
        b"@SMUGGLED@": write,
        b"@SMUGGLED_BYTES@": b"%d" % len(write),
        b"@UPDATE@": UPDATE,
    }
    pieces = []
    for piece in case.pieces:
        piece = piece.replace(b"/healthz", target)
        for name, value in known.items():
            piece = piece.replace(name, value)
        pieces.append(piece)
    return tuple(pieces)


@pytest.mark.parametrize("target", ["/v1/tiles/stations.json", TARGETS[0]])
async def test_the_raw_corpus_is_answered_alike(target: str) -> None:
    """tests/e2e/raw_corpus.py, its harmless request being one that takes the short way."""
    async with both() as ways:

        async def one(case: Case) -> None:
            pieces = filled(case, target.encode())
            if sum(map(len, pieces)) > 1 << 20 or case.end == "broken":
                return  # whether the reset overtakes the last answer is the kernel's business
            await compare(ways, pieces, case.methods, min(case.pause_s, 0.1), last=b"")

        for start in range(0, len(CORPUS), 60):  # many are waited for until they are surely silent
            await asyncio.gather(*(one(case) for case in CORPUS[start : start + 60]))
        assert len(ways.short.taken) > 20


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with both() as ways:
        many = b"".join(request(target) for target in TARGETS) * 5
        got = await compare(ways, (many,))
        assert [status for status, _, _ in got.answers] == [200] * len(TARGETS) * 5
        assert ways.short.taken == []
        # One by one, and cut anywhere: the parser keeps what has come.
        cut = [many[i : i + 37] for i in range(0, len(many), 37)]
        assert await compare(ways, tuple(cut), pause_s=0.001) == got


@given(cuts=st.lists(st.integers(0, 600), max_size=6))
@settings(max_examples=25, deadline=None)
def test_requests_cut_anywhere_are_answered_alike(cuts: list[int]) -> None:
    async def run() -> None:
        async with both() as ways:
            whole = request(TARGETS[0]) + request(TILE, "Accept-Encoding: gzip\r\n") + request("/v1/stations/nobody")
            ends = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
            pieces = tuple(whole[a:b] for a, b in pairwise(ends))
            got = await compare(ways, pieces, pause_s=0.002)
            assert [status for status, _, _ in got.answers] == [200, 200, 404]

    asyncio.run(run())


async def test_who_asks_too_often_and_too_early_is_told_so_both_ways() -> None:
    async with both(ready=False) as ways:
        got = await compare(ways, (request(TILE),))
        assert got.answers[0][0] == 503
    async with both(rate=1) as ways:
        pieces = tuple(request(TILE) for _ in range(4))
        short, long = [await exchange(w.url, pieces, ("GET",), 0.02) for w in ways]
        assert [a[0] for a in short.answers] == [a[0] for a in long.answers] == [200, 200, 429, 429]


async def test_a_worker_that_drains_says_close_and_a_slow_reader_is_waited_for() -> None:
    async with both() as ways, Raw(ways.short.url) as raw:
        await raw.send(request(TILE))
        assert not (await raw.answer()).closes
        ways.short.book.draining.set()
        await raw.send(request(TILE))
        assert (await raw.answer()).closes
        assert len(ways.short.taken) == 1


async def test_who_does_not_read_fills_no_memory() -> None:
    async with both() as ways, Raw(ways.short.url) as raw:
        cast(asyncio.Transport, raw.writer.transport).pause_reading()
        for _ in range(600):
            await raw.send(request(TARGETS[3]))
            await asyncio.sleep(0.001)
        assert 0 < len(ways.short.taken) < 500  # of 30 KB each, until the kernel's buffers are full
        cast(asyncio.Transport, raw.writer.transport).resume_reading()
        for _ in range(600):
            assert (await raw.answer()).status == 200
