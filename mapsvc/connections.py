"""The connections of one process, below HTTP: how many, how slow they may be, and how they end. Promises R9 and R11.

aiohttp has no time-out for a slow sender or reader, no bound on connections, and ends idle connections at once when it
stops. `Connection` adds these to its protocol, with nothing per request but a comparison: one sweep a second looks for
who is over time. It serves any web.Server, an Application's or a low-level one.

How a drain loses no request: (1) no more is accepted; what waits in the listener's queue goes to the other workers, who
share it; (2) requests go on being answered, each with `Connection: close`; (3) a connection that stays silent for the
whole grace is closed then, as any idle one is sooner or later. HTTP/1.1 leaves one race that no server can avoid: a
request sent on a connection that was silent for the whole grace, in the very moment in which it is closed.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo
from multidict import CIMultiDictProxy

from mapsvc.bad_http import not_http, refused, wire
from mapsvc.body import SERVER_OPTIONS, TooSlow
from mapsvc.limits import network_of
from mapsvc.metrics import Metrics
from mapsvc.problems import Internal, Problem, TooMany, Unavailable

BACKLOG = 1024
HEAD_S = 10.0  # for a complete request head, from the connection's opening or the head's first byte
SEND_S = 30.0  # in which a peer must have read a piece of an answer; live streams have stricter rules of their own
KEEPALIVE_S = 75.0  # between requests; longer than the 60 s after which the usual proxies give up a connection
LINGER_S = 2.0  # to go on reading after an answer that ends a connection: closed with bytes unread, it would be reset
ENDING_S = 5.0  # for a closed connection to hand over what it still holds
FINISH_S = 25.0  # for requests in progress when a drain's grace is over; a forwarded write takes 20 s at most
SWEEP_S = 1.0
DRAIN_POLL_S = 0.02
MOST_CONNECTIONS = 10_000  # of one process, at some 20 KB each
TURNING_AWAY = 256  # refused connections that are told so at one time; more are cut without a word
ACCEPT_AT_ONCE = 64  # connections that asyncio accepts before one of them is looked at
SPARE_FILES = 256 + TURNING_AWAY + ACCEPT_AT_ONCE  # 256: for PostgreSQL, Redis, ingest and logs

MAX_LINE = 2000  # bytes of a request line, and of the rest of a head, that are compared with earlier ones
MOST_HEARD = 4  # heads remembered of one connection: conditional requests have their own
_VERSION = b" HTTP/1.1\r\n"

Headers = CIMultiDictProxy[str]

OPTIONS: dict[str, Any] = {
    **SERVER_OPTIONS,
    "access_log": None,
    "keepalive_timeout": KEEPALIVE_S,
    "lingering_time": LINGER_S,
}


def bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class AtOnce(Protocol):
    """Answers what it can without the server (mapsvc.express)."""

    def is_plain(self, message: RawRequestMessage) -> bool:
        """Whether nothing but the path of such a message (without a body) decides about its answer and what comes after it."""

    def answer(self, path: str, headers: Headers, network: str) -> bytes | None:
        """The whole answer, or None: the server answers. Never raises."""


class Connections:
    """All of one process. `per_address`: how many one address may hold open; 0: any number."""

    def __init__(self, metrics: Metrics, per_address: int = 0) -> None:
        self.draining = asyncio.Event()  # answers from now on say `Connection: close`; streams should end
        self.grace_s = 0.0  # told before `draining` is set
        self.most = most_connections()
        self.at_once: AtOnce | None = None
        self._metrics = metrics
        self._per_address = per_address
        self._open: set[Connection] = set()
        self._held: Counter[str] = Counter()
        self._turning_away = 0
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        metrics.gauge("mapsvc_connections", lambda: float(len(self._open)))

    @asynccontextmanager
    async def serving(self, server: web.Server, listener: socket.socket) -> AsyncIterator[None]:
        """Accepts while the block runs, and afterwards ends what is still open at once: drain first."""
        loop = asyncio.get_running_loop()
        self._listener = listener
        self._server = await loop.create_server(
            lambda: Connection(self, server, loop=loop, **OPTIONS), sock=listener, backlog=ACCEPT_AT_ONCE
        )
        listener.listen(BACKLOG)  # asyncio takes its backlog for the kernel's as well
        sweeping = loop.create_task(self._sweep())
        try:
            yield
        finally:
            await self._stop_accepting()
            sweeping.cancel()
            for connection in list(self._open):
                connection.end()

    async def drain(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Until nobody is left: see above. `hurry`: as soon as no request is in progress. Those may take FINISH_S beyond the
        grace; a stream should end by itself within grace_s once `draining` is set, each at another instant."""
        loop = asyncio.get_running_loop()
        self.grace_s = 0.0 if hurry.is_set() else grace_s
        self.draining.set()
        await self._stop_accepting()
        idle_until = loop.time() + self.grace_s
        while self._open and (now := loop.time()) < idle_until + FINISH_S:
            if now >= idle_until or hurry.is_set():
                idle_until = min(now, idle_until)
                for connection in list(self._open):
                    connection.end_if_idle()
            await asyncio.sleep(DRAIN_POLL_S)

    async def _stop_accepting(self) -> None:
        if self._server is not None and self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            await asyncio.sleep(0)  # what was accepted just now: asyncio attaches it to the server in the next round
            self._server.close()  # our descriptor of the listener only
            self._server = None

    # -- what connections tell ----------------------------------------------------------------------------------------

    def admit(self, connection: Connection, address: str) -> Problem | None:
        """None and it counts, or why it must go."""
        if len(self._open) >= self.most:
            self.count("connections")
            return Unavailable("Too many connections are open.")
        if self._per_address and address and self._held[address] >= self._per_address:
            self.count("connections_of_address")
            return TooMany(f"This address has {self._per_address} connections open, the most it may.", retry_after_s=1)
        self._open.add(connection)
        self._held[address] += 1
        return None

    def forget(self, connection: Connection, address: str) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]

    def count(self, reason: str) -> None:
        self._metrics.count("mapsvc_refused", reason=reason)

    def turn_away(self, transport: asyncio.Transport, refusal: Problem) -> None:
        """Tells a client why, and reads on for a moment: what it has just sent must not reset our answer."""
        if self._turning_away >= TURNING_AWAY:
            transport.abort()
            return
        self._turning_away += 1
        asyncio.get_running_loop().call_later(LINGER_S, self._turned_away, transport)
        transport.write(wire(refusal))
        with suppress(OSError):  # it has gone already
            transport.write_eof()

    def _turned_away(self, transport: asyncio.Transport) -> None:
        self._turning_away -= 1
        transport.abort()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in list(self._open):
                connection.check(now)


class Connection(web.RequestHandler):
    """aiohttp's protocol with time-outs, admission, and problems instead of plain text."""

    __slots__ = (
        "_address", "_book", "_ending_since", "_head_since", "_heard", "_is_clean", "_spoke", "_stuck_since", "_wire",
    )  # fmt: skip

    def __init__(self, book: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._book = book
        self._address = ""
        self._wire: asyncio.Transport | None = None  # aiohttp drops its own reference before the connection has ended
        self._head_since = 0.0  # since when the peer owes us the rest of a head; 0: it owes nothing
        self._spoke = False  # some of it has come
        self._stuck_since = 0.0  # since when the peer reads nothing of what is ready for it
        self._ending_since = 0.0
        self._is_clean = True  # the parser holds nothing: all that came were whole heads without bodies, one at a time
        # Of heads that were answered at once: what follows the request line, to the end, and what the parser made of it.
        self._heard: dict[bytes, Headers] = {}

    @property
    def _is_idle(self) -> bool:
        """Between requests: aiohttp waits for the next message."""
        return self._waiter is not None and not self._waiter.done()

    # -- from the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast(asyncio.Transport, transport)
        peer = plain.get_extra_info("peername")
        self._address = network_of(peer[0]) if isinstance(peer, tuple) else ""
        refusal = self._book.admit(self, self._address)
        if refusal is not None:
            self._book.turn_away(plain, refusal)
            return
        self._wire = plain
        self._head_since = self._loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._wire is None:  # turned away
            return
        if self._is_idle and not self._messages and self._book.at_once is not None:
            if self._is_clean and self._heard and self._answered_again(data, self._book.at_once):
                return
            if self._answered_at_once(data, self._book.at_once):
                return
        else:
            self._is_clean = False
            super().data_received(data)
        for place, (message, _) in enumerate(self._messages):  # one, save when requests are pipelined
            if isinstance(message, RawRequestMessage) and (refusal := refused(message)) is not None:
                self._messages[place] = (_ErrInfo(int(refusal.status), refusal, ""), EMPTY_PAYLOAD)
        if not self._is_idle:
            self._head_since = 0.0
            self._spoke = False
        elif data:  # all of it, and still no whole head
            self._spoke = True
            if not self._head_since:
                self._head_since = self._loop.time()

    def _answered_again(self, data: bytes, at_once: AtOnce) -> bool:
        """Answers a head that differs from an earlier one in its path alone, as those of a client on one connection mostly
        do: what the parser would make of the rest is known. A quarter of a hot tile's cost was in that."""
        end = data.find(_VERSION, 5, MAX_LINE)
        headers = self._heard.get(data[end + len(_VERSION) :]) if end > 0 and data.startswith(b"GET /") else None
        if headers is None:
            return False
        path = data[4:end]
        if self._paused or self._book.draining.is_set() or not path.isascii():
            return False
        answer = at_once.answer(path.decode(), headers, self._address)
        if answer is None or self.transport is None:
            return False
        self._send(answer)
        return True

    def _remember(self, data: bytes, headers: Headers) -> None:
        _, version, rest = data.partition(_VERSION)
        if self._is_clean and version and len(rest) <= MAX_LINE:
            if len(self._heard) >= MOST_HEARD:
                self._heard.clear()
            self._heard[rest] = headers

    def _send(self, answer: bytes) -> None:
        assert self.transport is not None
        self.transport.write(answer)
        self._head_since, self._spoke = 0.0, False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _answered_at_once(self, data: bytes, at_once: AtOnce) -> bool:
        """Parses, and answers if it is a single request for which that can be done. The connection stays idle then: aiohttp's
        task, which waits for a message, never hears of it."""
        waiter, self._waiter = self._waiter, None
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        assert waiter is not None
        message, payload = self._messages[0] if len(self._messages) == 1 else (None, None)
        is_single = payload is EMPTY_PAYLOAD and isinstance(message, RawRequestMessage)
        self._is_clean = self._is_clean and is_single and data.find(b"\r\n\r\n") == len(data) - 4
        if is_single and not self._paused and not self._book.draining.is_set():
            assert isinstance(message, RawRequestMessage)
            if at_once.is_plain(message):
                answer = at_once.answer(message.path, message.headers, self._address)
                if answer is not None and self.transport is not None and self._parser is not None:
                    self._messages.clear()
                    self._parser.message_consumed()
                    self._send(answer)
                    self._remember(data, message.headers)
                    return True
        if self._messages and not waiter.done():
            waiter.set_result(None)
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._wire is not None:
            self._book.forget(self, self._address)
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck_since = 0.0

    # -- from the sweep and the drain ---------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        assert self._wire is not None
        if self._wire.is_closing():
            self._ending_since = self._ending_since or now
            if now - self._ending_since > ENDING_S:
                self._wire.abort()
        elif self._stuck_since and now - self._stuck_since > SEND_S:
            self._book.count("slow_reader")
            self._wire.abort()
        elif self._head_since and now - self._head_since > HEAD_S:
            self._book.count("slow_head")
            if self._spoke:  # to silence we say nothing: browsers open connections ahead of need
                self._wire.write(wire(TooSlow(f"No complete request head came within {HEAD_S:.0f} s.")))
            self.force_close()

    def end_if_idle(self) -> None:
        if self._is_idle and not self._spoke:
            self.force_close()

    def end(self) -> None:
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

    # -- from aiohttp, for every answer -------------------------------------------------------------------------------

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        last = self._book.draining.is_set() and not self._messages  # what is pipelined already is answered too
        unread = not request.content.is_eof()  # of a body that nobody waited for, and what comes next follows it
        if last or unread:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, and what failed outside of every guard. Nothing of it is repeated, to nobody."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is sent already")
        problem: Problem
        if isinstance(exc, Problem):
            problem = exc
        elif status >= 500:
            self.log_exception("a request failed outside of its handler", exc_info=exc)
            problem = Internal()
        else:
            self._book.count("not_http")
            problem = not_http(exc)
        response = problem.response()
        response.force_close()
        return response


def most_connections() -> int:
    """As many as there are file descriptors for; the soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(64, min(MOST_CONNECTIONS, (wanted if soft == resource.RLIM_INFINITY else soft) - SPARE_FILES))
