"""`GET /v1/status-summary`: what there is, in which state, and how fresh, in numbers: from this worker's memory alone.

One document a second and worker, however many ask. What it says is true at `as_of`; instants in it are absolute.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from aiohttp import web

from cache.replica import Replica
from cache.tasks import end
from geo.station import Status
from mapsvc.instants import instant
from mapsvc.openapi.operation import JSON_TYPE, Operation, Response, ref
from mapsvc.openapi.read_schemas import COUNT, INSTANT, TEXT, list_of, or_null, record
from mapsvc.openapi.reads import CACHED, NOT_MODIFIED, TAG_SERVICE
from mapsvc.parameter import Given, Parameter, Table, free_words
from mapsvc.problems import Unavailable
from mapsvc.replies import JSON, of_published
from mapsvc.tally import Counts, Tally
from mapsvc.tiles import Published

KEEP_MS = 1000  # how long a document is sent again
CACHE_CONTROL = "public, max-age=1"
SAMPLE_S = 1.0
WINDOWS_S = (10, 60)  # over which updates are averaged
SHOWN = tuple(status for status in Status if status is not Status.REMOVED)

# -- as the API describes it ----------------------------------------------------------------------------------------------

PARTY = Parameter(
    "party",
    free_words("parties"),
    "Only these parties, in any case; the sums are theirs. One that shows no station is not told.",
    "DE*ABC,irve",
    default=(),
)
TABLE = Table(PARTY)

_RATE = or_null({"type": "number", "minimum": 0})
_SECONDS = {"type": "number", "minimum": 0}
_STATIONS = {**COUNT, "description": "Shown ones."}

SUMMARY = Operation(
    id="statusSummary",
    method="GET",
    path="/v1/status-summary",
    tag=TAG_SERVICE,
    summary="How many stations and EVSEs there are, in which status, and how fresh",
    description="True at `as_of`, counted at most once a second. Each worker tells of itself: the counts of two agree up "
    "to their `lag_s`, the rates and ages are each one's own.",
    parameters=TABLE.parameters,
    responses={200: Response("The summary.", {JSON_TYPE: ref("StatusSummary")}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 429, 503),
    examples=("/v1/status-summary", "/v1/status-summary?party=DE*ABC,irve"),
    schemas={
        "StatusCounts": record(
            {"total": COUNT, **{status.name: COUNT for status in SHOWN}},
            description="EVSEs by the status shown: UNKNOWN once the last report is older than the party's TTL. REMOVED "
            "ones do not count.",
        ),
        "PartySummary": record(
            {
                "id": TEXT,
                "stations": _STATIONS,
                "evses": ref("StatusCounts"),
                "ttl_s": {**or_null(COUNT), "description": "How long a status is shown; null: no live status."},
                "heartbeat_at": {**or_null(INSTANT), "description": "Its last heartbeat; null: never."},
            }
        ),
        "StatusSummary": record(
            {
                "as_of": INSTANT,
                "stations": _STATIONS,
                "evses": ref("StatusCounts"),
                "parties": {**list_of(ref("PartySummary")), "description": "Those with a station, by id."},
                "updates_per_s": record(
                    {f"last_{seconds}_s": _RATE for seconds in WINDOWS_S},
                    description="Changes of EVSEs and stations that reached this worker, of all parties. Over the time "
                    "since it started, if that is shorter; null: it has just started.",
                ),
                "lag_s": {
                    **_SECONDS,
                    "description": "From the commit of the last batch of changes until this worker showed it.",
                },
                "data_age_s": {
                    **or_null(_SECONDS),
                    "description": "Seconds since the database said that nothing newer was there; null: not known.",
                },
                "epoch": {"type": "integer", "description": "Of the cache that this worker follows."},
            }
        ),
    },
)


def parse_summary(query: str) -> tuple[str, ...]:
    """The parties asked for, case-folded; none: all."""
    given = Given(query, TABLE)
    parties = given[PARTY]
    given.done()
    return parties


# -- how it is made -------------------------------------------------------------------------------------------------------


class Rate:
    """Of a counter that is looked at every SAMPLE_S."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=int(max(WINDOWS_S) / SAMPLE_S) + 1)

    def sample(self, at_s: float, count: int) -> None:
        self._seen.append((at_s, count))

    def over(self, window_s: float, at_s: float, count: int) -> float | None:
        """Per second, over the window or what is known of it; None: less than one sample's time is."""
        since = next((seen for seen in self._seen if at_s - seen[0] <= window_s + SAMPLE_S / 2), None)
        if since is None or at_s - since[0] < SAMPLE_S / 2:
            return None
        return round((count - since[1]) / (at_s - since[0]), 1)


class _Made(NamedTuple):
    at_ms: int
    counts: Counts  # copies
    about: Mapping[str, Any]  # the members that are not counts
    whole: Published


class Summary:
    """`data_age_s`: as the probes tell it."""

    def __init__(self, replica: Replica, data_age_s: Callable[[], float | None]) -> None:
        self._replica = replica
        self._world = replica.world
        self._data_age_s = data_age_s
        self._tally = Tally(replica.world)
        self._rate = Rate()
        self._made: _Made | None = None
        self._making = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [SUMMARY.route(self.summary)]

    async def summary(self, request: web.Request) -> web.Response:
        parties = parse_summary(request.rel_url.raw_query_string)
        if not self._replica.ready:
            raise Unavailable("The stations are still being loaded.")
        made = self._fresh()
        if made is None:
            async with self._making:  # who waited here finds it made
                made = self._fresh() or await self._make()
        published = self._published(made.counts, made.about, parties) if parties else made.whole
        return of_published(request, published, CACHE_CONTROL, JSON)

    def _fresh(self) -> _Made | None:
        made = self._made
        return made if made is not None and 0 <= self._replica.now_ms() - made.at_ms < KEEP_MS else None

    async def _make(self) -> _Made:
        """Counts what changed, in slices. At the end nothing is left that changed or expired: the counts are of one
        instant, although others had their turns meanwhile."""
        while not self._tally.catch_up() or self._world.next_due_ms <= self._replica.now_ms():
            await asyncio.sleep(0)
            self._world.advance(self._replica.now_ms())
        now_ms = self._replica.now_ms()
        counts = Counts(*(column.copy() for column in self._tally.counts()))
        about = self._about(now_ms)
        self._made = _Made(now_ms, counts, about, self._published(counts, about, ()))
        return self._made

    def _about(self, now_ms: int) -> dict[str, Any]:
        age_s, at_s, applied = self._data_age_s(), time.monotonic(), self._replica.applied_rows
        return {
            "as_of": instant(now_ms),
            "updates_per_s": {f"last_{w}_s": self._rate.over(w, at_s, applied) for w in WINDOWS_S},
            "lag_s": self._replica.lag_ms / 1000,
            "data_age_s": None if age_s is None else round(age_s, 3),
            "epoch": self._replica.epoch,
        }

    def _published(self, counts: Counts, about: Mapping[str, Any], wanted: tuple[str, ...]) -> Published:
        names, clocks = self._world.parties, self._world.clocks
        told = [i for i in np.flatnonzero(counts.stations).tolist() if not wanted or names[i].casefold() in wanted]
        body = {
            **about,
            "stations": int(counts.stations[told].sum()),
            "evses": _by_status(counts.evses[told].sum(axis=0).tolist()),
            "parties": [
                {
                    "id": names[i],
                    "stations": int(counts.stations[i]),
                    "evses": _by_status(counts.evses[i].tolist()),
                    "ttl_s": None if clocks.ttl_ms[i] < 0 else int(clocks.ttl_ms[i]) // 1000,
                    "heartbeat_at": instant(int(clocks.heartbeat_ms[i]) or None),
                }
                for i in sorted(told, key=names.__getitem__)
            ],
        }
        return Published(orjson.dumps(body))

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application: looks at the counter of updates."""

        async def sample_on() -> None:
            while True:
                self._rate.sample(time.monotonic(), self._replica.applied_rows)
                await asyncio.sleep(SAMPLE_S)

        sampling = asyncio.create_task(sample_on())
        yield
        await end([sampling])


def _by_status(counts: list[int]) -> dict[str, int]:
    shown = {status.name: counts[status] for status in SHOWN}
    return {"total": sum(shown.values()), **shown}
