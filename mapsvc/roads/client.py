"""What an API worker has of Valhalla: one door, with a deadline, a bound, and errors that say whose they are.

Invariants: no call lasts longer than its deadline. At most REQUESTS of a worker are answered at a time, RUNNING calls of them
are with Valhalla and WAITING wait for that; who comes then is told so at once, before anything was computed for him, so that
routes cannot pile up before nearby and tiles. A call that met a closed
connection is made once more, as none changes anything. After FAILURES deadlines in a row without an answer to anybody, nobody
waits any more: one call in PROBE_S tries whether it answers again.
Request bodies hold drivers' positions: they are never logged, nor is what Valhalla says of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from aiohttp import web

from cache.tasks import end
from mapsvc.deadline import Deadline
from mapsvc.roads.graphs import Served, served, served_note

REQUESTS = 16
RUNNING = 4
WAITING = 32
FAILURES = 3
SILENCE_S = 0.5  # that is long for an engine of which nobody had an answer meanwhile
PROBE_S = 0.5
FORGET_S = 10.0  # failures that are older say nothing of now
FOLLOW_S = 5.0
LOOK_S = 0.2  # how old what is known of the served graph may be
PAUSE_S = 0.1  # before a call is made once more: one that was ended may just be replaced
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)

_of_request: ContextVar[Served | None] = ContextVar("roads_of_request", default=None)
_CUT = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError)


class RoadsError(Exception):
    """Valhalla did not give what was asked for."""


class RoadsAwayError(RoadsError):
    """There is no answer now. `reason` is one of the four below."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RefusedError(RoadsError):
    """The request cannot be answered on this graph. `code` is Valhalla's (https://valhalla.github.io, "error codes")."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Valhalla's error {code}")
        self.code = code


NO_ROADS, UNREACHABLE, DEADLINE, BUSY = "no_roads", "unreachable", "deadline", "busy"


class RoadsClient:
    """`url`: a Valhalla that is always there; without one, what `mapsvc up` of this DATA_DIR serves. `on_away` is told the
    reason of each call that got no answer."""

    def __init__(self, data_dir: Path, url: str | None, on_away: Callable[[str], None] = lambda _: None) -> None:
        self._data_dir = data_dir
        self._fixed = None if url is None else Served(url, "given", EVERYWHERE)
        self._served: Served | None = self._fixed
        self._looked_at = 0.0
        self._note: tuple[int, int] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._requests = 0
        self._running = asyncio.Semaphore(RUNNING)
        self._waiting = 0
        self._failures = 0
        self._failed_at = 0.0
        self._answered_at = 0.0
        self._probe_at = 0.0
        self.calls = 0
        self._on_away = on_away

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            following = asyncio.create_task(self._follow())
            yield
            await end([following])

    async def _follow(self) -> None:
        """Notices when a Valhalla that is not ours has turned to another graph: what is kept of the old one must go."""
        while self._fixed is not None:
            assert self._session is not None
            url, timeout = self._fixed.url, aiohttp.ClientTimeout(total=FOLLOW_S)
            with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError):
                async with self._session.get(url + "/status", timeout=timeout) as answer:
                    told = orjson.loads(await answer.read())
                self._served = self._fixed = Served(url, f"given-{told['tileset_last_modified']}", EVERYWHERE)
            await asyncio.sleep(FOLLOW_S)

    @property
    def has_roads(self) -> bool:
        """As of the last look."""
        return self._served is not None

    def served(self) -> Served | None:
        """The graph that is served now."""
        if self._fixed is None:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at >= LOOK_S:
                self._looked_at = now
                self._look()
        return self._served

    def _look(self) -> None:
        try:
            stat = served_note(self._data_dir).stat()
        except OSError:
            self._served, self._note = None, None
            return
        if (stat.st_ino, stat.st_mtime_ns) != self._note:
            self._note, self._served = (stat.st_ino, stat.st_mtime_ns), served(self._data_dir)
            self._failures = 0  # another process

    @contextmanager
    def one_graph(self) -> Iterator[Served]:
        """A request: all calls within are of the graph that is served now, even if another one comes meanwhile. Raises
        RoadsAwayError."""
        served = self.served()
        if served is None:
            raise self._is_away(NO_ROADS)
        if self._requests >= REQUESTS:
            raise self._is_away(BUSY)
        self._requests += 1
        token = _of_request.set(served)
        try:
            yield served
        finally:
            self._requests -= 1
            _of_request.reset(token)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """An answer that does not hold what it should is none: whatever that raises becomes RoadsAwayError."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError):
            raise self._is_away(UNREACHABLE) from None

    # -- calls --------------------------------------------------------------------------------------------------------

    async def ask(self, action: str, body: Mapping[str, Any], deadline: Deadline) -> Any:
        """What Valhalla answers to a POST, decoded. Raises RoadsAwayError, RefusedError."""
        status, answer = await self._called("POST", f"/{action}", orjson.dumps(body), deadline)
        try:
            told = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise self._is_away(UNREACHABLE) from None
        if status == 200:
            return told
        code = told.get("error_code") if isinstance(told, dict) else None
        if status < 500 and isinstance(code, int):  # else it is somebody between us who refuses
            raise RefusedError(code)
        raise self._is_away(UNREACHABLE)

    async def tile(self, z: int, x: int, y: int, deadline: Deadline) -> bytes:
        """A vector tile of the roads, as Valhalla makes it; empty where there are none. Raises as `ask` does."""
        query = quote(orjson.dumps({"tile": {"z": z, "x": x, "y": y}}))
        status, answer = await self._called("GET", f"/tile?json={query}", b"", deadline)
        if status == 200:
            return answer
        raise RefusedError(0) if status < 500 else self._is_away(UNREACHABLE)

    async def _called(self, method: str, path: str, body: bytes, deadline: Deadline) -> tuple[int, bytes]:
        self.calls += 1
        if self.served() is None:
            raise self._is_away(NO_ROADS)
        self._check_patience()
        async with self._turn(deadline):
            began = asyncio.get_running_loop().time()
            try:
                async with deadline.timeout():
                    try:
                        done = await self._once(method, path, body)
                    except _CUT:
                        await asyncio.sleep(PAUSE_S)
                        self._looked_at = 0.0
                        done = await self._once(method, path, body)
            except TimeoutError:
                self._note_silence(began)
                raise self._is_away(DEADLINE) from None
            except (aiohttp.ClientError, OSError):
                raise self._is_away(UNREACHABLE) from None
            self._failures = 0
            self._answered_at = asyncio.get_running_loop().time()
            return done

    async def _once(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        served, started_on = self.served(), _of_request.get()
        if started_on is not None and (served is None or served.graph != started_on.graph):
            served = started_on  # it goes on for some seconds
        if served is None:
            raise self._is_away(NO_ROADS)
        assert self._session is not None
        async with self._session.request(method, served.url + path, data=body or None, timeout=_NO_OTHER) as answer:
            return answer.status, await answer.read()

    def _note_silence(self, since: float) -> None:
        """A wait since then has ended without an answer. It counts if nobody else was answered either, for long enough."""
        now = asyncio.get_running_loop().time()
        if self._answered_at < since and now - since >= SILENCE_S:
            self._failures += 1
            self._failed_at = now

    def _check_patience(self) -> None:
        """Raises RoadsAwayError at once while it is known not to answer."""
        now = asyncio.get_running_loop().time()
        if self._failures < FAILURES or now - self._failed_at > FORGET_S:
            return
        if now < self._probe_at:
            raise self._is_away(UNREACHABLE)
        self._probe_at = now + PROBE_S  # this one tries

    @asynccontextmanager
    async def _turn(self, deadline: Deadline) -> AsyncIterator[None]:
        """One of the places with Valhalla; raises RoadsAwayError when too many wait, or when none gets free in time."""
        if self._waiting >= WAITING:
            raise self._is_away(BUSY)
        self._waiting += 1
        began = asyncio.get_running_loop().time()
        try:
            async with deadline.timeout():
                await self._running.acquire()
        except TimeoutError:
            self._note_silence(began)
            raise self._is_away(BUSY) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._running.release()

    def _is_away(self, reason: str) -> RoadsAwayError:
        self._on_away(reason)
        return RoadsAwayError(reason)


_NO_OTHER = aiohttp.ClientTimeout()  # than the deadline
