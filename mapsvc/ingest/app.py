"""The HTTP face of ingest, in the order of a request: routes, then who, what, and the outcome.

API workers forward here whatever is not a read; on many machines a load balancer may as well send writers here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from geo.station import station_key
from mapsvc import database
from mapsvc.body import BODY_BYTES, read_body
from mapsvc.door import Door, Fate
from mapsvc.importers.ocpi import parse_location
from mapsvc.importers.report import LocationError
from mapsvc.importers.report import Report as ImportReport
from mapsvc.ingest.auth import Authenticator, Caller
from mapsvc.ingest.reports import parse
from mapsvc.ingest.resolver import Outcome
from mapsvc.ingest.service import StatusService
from mapsvc.ingest.writers import QueueFullError
from mapsvc.logs import Sampled
from mapsvc.metrics import Metrics
from mapsvc.problems import (
    Conflict,
    Fault,
    Forbidden,
    Internal,
    NotFound,
    Problem,
    Unavailable,
    Unprocessable,
    of_http_exception,
)
from sql import queries

log = logging.getLogger(__name__)
sampled = Sampled(log)

MAX_IDEMPOTENCY_KEY = 255

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class IngestApp:
    def __init__(self, pool: Any, service: StatusService, metrics: Metrics) -> None:
        self._pool = pool
        self._service = service
        self._metrics = metrics
        self._auth = Authenticator(pool)
        self._door = Door(pool, service.writers)
        self._in_flight: dict[tuple[bytes, str], asyncio.Lock] = {}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._guard])
        app.router.add_post("/v1/status", self.post_status)
        app.router.add_post("/v1/heartbeat", self.post_heartbeat)
        app.router.add_put("/v1/stations/{id}", self.put_station)
        app.router.add_delete("/v1/stations/{id}", self.delete_station)
        app.router.add_get("/healthz", self.healthz)
        return app

    # -- the four things that may be asked ----------------------------------------------------------------------------

    async def post_status(self, request: web.Request) -> web.Response:
        _no_query(request)
        caller = await self._auth.caller(request.headers)
        body = await read_body(request)
        idem_key = request.headers.get("Idempotency-Key")
        if idem_key is None:
            return await self._status(caller, body)
        if not 0 < len(idem_key) <= MAX_IDEMPOTENCY_KEY or not idem_key.isprintable():
            fault = Fault("Idempotency-Key", f"1 to {MAX_IDEMPOTENCY_KEY} printable characters")
            raise Problem("The Idempotency-Key is not valid.", [fault])
        lock = self._in_flight.setdefault((caller.key_hash, idem_key), asyncio.Lock())
        try:
            async with lock:
                return await self._once(caller, idem_key, body)
        finally:
            if not lock.locked():
                self._in_flight.pop((caller.key_hash, idem_key), None)

    async def _once(self, caller: Caller, idem_key: str, body: bytes) -> web.Response:
        """The stored answer of this key for 24 h, else the answer, stored."""
        digest = hashlib.sha256(body).digest()
        row = await self._pool.fetchrow(queries.IDEMPOTENCY_GET, caller.key_hash, idem_key)
        if row is not None:
            if row["request_hash"] != digest:
                raise Conflict("This Idempotency-Key was used for another body.")
            return web.Response(
                body=row["response"],
                content_type="application/json",
                headers={"Idempotency-Replayed": "true", "Cache-Control": "no-store"},
            )
        response = await self._status(caller, body)
        assert isinstance(response.body, bytes)
        await self._pool.fetch(queries.IDEMPOTENCY_PUT, caller.key_hash, idem_key, digest, 200, response.body)
        return response

    async def _status(self, caller: Caller, body: bytes) -> web.Response:
        rows = parse(body)
        outcomes = await self._service.submit(caller.parties, rows)
        counts = Counter(outcomes)
        self._count(caller, counts)
        told = {outcome: orjson.dumps(_told(outcome)) for outcome in counts}  # few, however many rows there are
        return _json_bytes(b'{"outcomes":[%b]}' % b",".join([told[outcome] for outcome in outcomes]))

    async def post_heartbeat(self, request: web.Request) -> web.Response:
        _no_query(request)
        caller = await self._auth.caller(request.headers)
        await read_body(request)
        at_ms = self._service.clock.now_ms()
        rows = await self._pool.fetch(queries.PARTY_HEARTBEAT, list(caller.parties), at_ms)
        self._metrics.count("mapsvc_heartbeats", len(rows))
        return _json({"parties": [row["id"] for row in rows]})

    async def put_station(self, request: web.Request) -> web.Response:
        _no_query(request)
        party, location_id = _station_id(request)
        caller = await self._auth.caller(request.headers)
        party = _own_party(caller, party)
        body = await read_body(request)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Problem("The body is not JSON.", [Fault("", "one OCPI Location")], in_body=True) from error
        report = ImportReport()
        try:
            located = parse_location(document, party=party, report=report, where="", strict=True, source="api")
        except LocationError as error:
            faults = [Fault(pointer, allowed) for pointer, allowed in error.errors]
            raise Unprocessable("The Location is not valid.", faults, in_body=True) from error
        if located is None or located.station.key != station_key(party, location_id):
            raise Unprocessable(
                "The Location is another one than the path names.", [Fault("/id", location_id)], in_body=True
            )
        await self._door.add_parties([located.station.party], live=True)
        (written,) = await self._door.put([located])
        self._metrics.count("mapsvc_stations_written", fate=written.fate)
        if written.fate is Fate.LATE:
            raise Conflict(
                "A document with a later last_updated stands.", [Fault("/last_updated", "not before the stored one")]
            )
        status = 201 if written.fate is Fate.NEW else 200
        return _json(
            {"id": located.station.id, "outcome": written.fate, "statuses_in_future": written.futures}, status=status
        )

    async def delete_station(self, request: web.Request) -> web.Response:
        _no_query(request)
        party, location_id = _station_id(request)
        caller = await self._auth.caller(request.headers)
        party = _own_party(caller, party)
        (written,) = await self._door.remove([station_key(party, location_id)])
        self._metrics.count("mapsvc_stations_written", fate=written.fate)
        if written.fate is Fate.UNCHANGED:
            raise NotFound("There is no such station.")
        return web.Response(status=204)

    async def healthz(self, _: web.Request) -> web.Response:
        return _json({"status": "alive"})

    # -- around every request -----------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure becomes a problem; none carries an exception's text."""
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except web.HTTPException as error:
            return of_http_exception(error).response(
                {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            )
        except QueueFullError:
            self._metrics.count("mapsvc_refused", reason="queue_full")
            return Unavailable("Too much is waiting to be written.").response()
        except database.DOWN as error:
            self._metrics.count("mapsvc_refused", reason="database")
            sampled.warning("database", "the database cannot take writes", error=type(error).__name__)
            return Unavailable("The database cannot take writes now; nothing was acknowledged.", 2).response()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a request failed", extra={"method": request.method})
            return Internal().response()

    def _count(self, caller: Caller, counts: Counter[Outcome]) -> None:
        """Count what is dropped: a counter each, and a sampled line that names the party."""
        by_word: Counter[str] = Counter()
        for outcome, count in counts.items():
            by_word[outcome.outcome] += count
        for word, count in by_word.items():
            self._metrics.count("mapsvc_status_updates", count, outcome=word)
            if word not in ("applied", "confirmed"):
                sampled.warning(
                    (word, caller.parties), "updates dropped", reason=word, rows=count, party=caller.parties[0]
                )


def _told(outcome: Outcome) -> dict[str, str]:
    told = {"outcome": outcome.outcome}
    if outcome.message is not None:
        told["message"] = outcome.message
    return told


def _json(document: object, status: int = 200) -> web.Response:
    return _json_bytes(orjson.dumps(document), status)


def _json_bytes(body: bytes, status: int = 200) -> web.Response:
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _no_query(request: web.Request) -> None:
    if request.query_string:
        names = sorted(request.query.keys())
        raise Problem(
            "This resource takes no parameters.", [Fault(name, "nothing: unknown parameter") for name in names]
        )


def _station_id(request: web.Request) -> tuple[str, str]:
    """Party and location id of the path, which aiohttp has decoded."""
    party, tilde, location_id = request.match_info["id"].partition("~")
    if not (party and tilde and location_id) or len(location_id) > 255 or not (party + location_id).isprintable():
        raise NotFound("There is no such station: an id is party~location.")
    return party, location_id


def _own_party(caller: Caller, party: str) -> str:
    """The party as we spell it. Raises Forbidden unless the key holds it."""
    for own in caller.parties:
        if own.casefold() == party.casefold():
            return own
    raise Forbidden("Your key does not hold this party.")
