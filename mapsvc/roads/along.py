"""`POST /v1/along-route`: stations along a line, by what stopping there costs.

The line is a route computed here, or a plain polyline of any navigation system. **Detour** of a station: the time of the best
way from a point of the line before it, by the station, to a point of the line behind it, less that of the best way between the
two. They lie WINDOW_M before and behind where the line passes nearest, on multiples of STEP_M so that near stations share
them. So a detour is never told too small, and is exact where the best one leaves and joins the line between them. Its oracle is
Valhalla asked directly (tests/e2e/test_roads.py).

Candidates are chosen by air line, filters first; at most MOST are asked about, the nearest of each section of the line
(`is_complete` says whether that was all). Without Valhalla the stations beside a given line come by offset, without detours.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.along import rows_about
from geo.columns import Rows
from geo.corridor import Line, LineError, beside_vectors
from geo.filters import Filter
from geo.point import Floats, LatLon
from geo.polyline import PRECISIONS, PolylineError, decode
from geo.select import Counts, select
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.json_body import Members
from mapsvc.params import parse_tile_filter
from mapsvc.problems import Fault, Unprocessable
from mapsvc.roads.client import NO_ROADS, RefusedError, RoadsAwayError, RoadsClient, RoadsError
from mapsvc.roads.costing import AVOIDABLE, TOP_SPEED_KMH, costing
from mapsvc.roads.route import RouteQuery, find_trips, joined
from mapsvc.roads.snapping import Place, Snaps
from mapsvc.roads.valhalla_files import MAX_ROUTE_M
from mapsvc.roads.waypoints import Waypoint, away, read_waypoints, refusal

ALONG_S = 8.0
MOST = 60  # stations that are asked about; each takes 5 to 10 ms
WINDOW_M = 15_000.0  # motorway exits are some 5 to 10 km apart: out before the station, in again behind it
STEP_M = 5_000.0
HEADING_M = 30.0  # of line on either side that tell its heading
HEADING_TOLERANCE = 60  # degrees: the right carriageway, not the other one

MEASURED_AT_ONCE = 2  # lines of a worker
AT_ONCE = 2  # calls of one request with Valhalla: others have their turns

MAX_DISTANCE_M, DISTANCE_M = 50_000, 5_000
MAX_DETOUR_S, DETOUR_S = 7_200, 900
LIMIT = 20
MAX_POSITIONS = 200_000
BY_OFFSET, BY_DETOUR = "offset", "detour"


class AlongQuery(NamedTuple):
    """Either `line` or `waypoints`."""

    line: Line | None
    waypoints: Sequence[Waypoint]
    avoid: tuple[str, ...]
    max_detour_s: float
    max_distance_m: float
    sort: str
    limit: int
    wanted: Filter


class Found(NamedTuple):
    """`detour_s`, `detour_m`: nan where not known. `considered`: matching stations beside the line."""

    rows: Rows
    counts: Counts
    max_kw: NDArray[np.float32]
    offset_m: Floats
    distance_m: Floats
    detour_s: Floats
    detour_m: Floats
    length_m: float
    duration_s: float | None
    considered: int
    is_complete: bool
    degraded: str


def parse_along(query: str, body: bytes, world: World) -> AlongQuery:
    """Raises Problem."""
    wanted = parse_tile_filter(query)
    members = Members.of(body)
    if members.has("geometry") == members.has("waypoints"):
        members.fault("geometry", "exactly one of geometry and waypoints")
    line = _line(members) if members.has("geometry") else None
    waypoints = read_waypoints(members, world) if members.has("waypoints") else []
    for name in ("geometry", "waypoints"):
        members.any(name)
    asked = AlongQuery(
        line,
        waypoints,
        members.some_of("avoid", sorted(AVOIDABLE)),
        members.number("max_detour_s", 0, MAX_DETOUR_S, DETOUR_S),
        members.number("max_distance_m", 0, MAX_DISTANCE_M, DISTANCE_M),
        members.one_of("sort", (BY_OFFSET, BY_DETOUR), BY_OFFSET),
        members.whole("limit", 1, MOST, LIMIT),
        wanted,
    )
    members.done()
    return asked


def _line(members: Members) -> Line | None:
    """A polyline with its `precision`, or a GeoJSON LineString."""
    value = members.any("geometry")
    precision = members.whole("precision", PRECISIONS[0], PRECISIONS[1], 6)
    try:
        if isinstance(value, str):
            lat, lon = decode(value, precision)
        else:
            lat, lon = _of_geojson(value)
        if len(lat) > MAX_POSITIONS:
            raise LineError(f"at most {MAX_POSITIONS} positions")
        line = Line(lat, lon)
        if line.length_m > MAX_ROUTE_M:
            raise LineError(f"at most {MAX_ROUTE_M // 1000} km long")
        return line
    except (PolylineError, LineError) as error:
        members.fault("geometry", f"a polyline of precision 5 or 6, or a GeoJSON LineString: {error}")
        return None


def _of_geojson(value: Any) -> tuple[Floats, Floats]:
    """Raises LineError."""
    if (
        not isinstance(value, dict)
        or value.get("type") != "LineString"
        or not isinstance(value.get("coordinates"), list)
    ):
        raise LineError('{"type": "LineString", "coordinates": [[lon, lat], …]}')
    try:
        pairs = np.array([(float(one[0]), float(one[1])) for one in value["coordinates"]], np.float64).reshape(-1, 2)
    except (TypeError, ValueError, IndexError, KeyError):
        raise LineError("each position is [lon, lat]") from None
    lon, lat = pairs[:, 0], pairs[:, 1]
    if not (np.all(np.abs(lat) <= 90) and np.all(np.abs(lon) <= 180)):  # NaN fails too
        raise LineError("positions within 180 degrees east and 90 degrees north")
    return lat, lon


class Along:
    def __init__(self, world: World, now_ms: Callable[[], int], client: RoadsClient, snaps: Snaps) -> None:
        self._world = world
        self._now_ms = now_ms
        self._client = client
        self._snaps = snaps
        self._measuring = asyncio.Semaphore(MEASURED_AT_ONCE)

    async def find(self, query: AlongQuery) -> Found:
        """Raises Problem."""
        deadline = Deadline.after(ALONG_S)
        line, duration_s = query.line, None
        if line is None:
            line, duration_s = await self._routed(query, deadline)
        candidates = await self._candidates(line, query)
        try:
            extra = await Detours(self._client, self._snaps, line, query.avoid, deadline).of(candidates)
            degraded = ""
        except RoadsAwayError as error:
            if query.line is None:
                raise away(error) from None
            extra, degraded = np.full((len(candidates.nums), 2), np.nan), error.reason
        return self._answer(line, duration_s, query, candidates, extra, degraded)

    async def _routed(self, query: AlongQuery, deadline: Deadline) -> tuple[Line, float]:
        asked = RouteQuery(query.waypoints, query.avoid, maneuvers=False)
        try:
            try:
                trip = (await find_trips(self._client, asked, deadline))[0]
            except RefusedError as error:
                raise await refusal(self._client, error, query.waypoints, deadline) from None
        except RoadsAwayError as error:
            raise away(error) from None
        try:
            return Line(*joined(trip["legs"])), float(trip["summary"]["time"])
        except LineError:
            raise Unprocessable(
                "The route has no length.", [Fault("/waypoints", "two different places at least")], in_body=True
            ) from None

    async def _candidates(self, line: Line, query: AlongQuery) -> Candidates:
        """Filters first; then which of these stand beside the line, in a thread: a line may pass a town a hundred times."""
        world = self._world
        world.advance(self._now_ms())
        s, rows = world.stations, rows_about(world, line, query.max_distance_m)
        rows = rows[select(world, rows, query.wanted).keep]
        nums, lat, lon = s.num[rows], s.lat[rows], s.lon[rows]  # rows may be others' by then
        async with self._measuring:
            beside = await asyncio.to_thread(beside_vectors, line, s.xyz[rows], query.max_distance_m)
        # No detour is shorter than the air line there and back, driven at top speed.
        keep = beside.distance_m * 2 / (TOP_SPEED_KMH / 3.6) <= query.max_detour_s + SLACK_S
        index, offset_m, distance_m = beside.index[keep], beside.offset_m[keep], beside.distance_m[keep]
        chosen = _spread(offset_m, distance_m, line.length_m, MOST)
        at = index[chosen]
        return Candidates(nums[at], lat[at], lon[at], offset_m[chosen], distance_m[chosen], len(index))

    def _answer(
        self, line: Line, duration_s: float | None, query: AlongQuery, near: Candidates, extra: Floats, degraded: str
    ) -> Found:
        """As the stations are now."""
        world = self._world
        world.advance(self._now_ms())
        rows = world.rows_of_nums(near.nums)
        there = np.flatnonzero((rows >= 0) & world.stations.shown[rows])
        chosen = select(world, rows[there], query.wanted)
        fits = chosen.keep & (bool(degraded) | (extra[there, 0] <= query.max_detour_s))
        kept = np.flatnonzero(fits)
        first = near.offset_m[there] if query.sort == BY_OFFSET or degraded else extra[there, 0]
        order = sorted(
            kept.tolist(), key=lambda k: (first[k], near.distance_m[there[k]], world.key(int(rows[there[k]])))
        )
        best = np.array(order[: query.limit], np.intp)
        at = there[best]
        return Found(
            rows[at], chosen.counts[best], chosen.max_kw[best], near.offset_m[at], near.distance_m[at], extra[at, 0],
            extra[at, 1], line.length_m, duration_s, near.considered, near.considered == len(near.nums), degraded,
        )  # fmt: skip


SLACK_S = 30.0  # the station's road may be nearer to the line than the station is


class Candidates(NamedTuple):
    nums: NDArray[np.int64]
    lat: Floats
    lon: Floats
    offset_m: Floats
    distance_m: Floats
    considered: int  # before the nearest of each section were chosen


def _spread(offset_m: Floats, distance_m: Floats, length_m: float, most: int) -> NDArray[np.intp]:
    """At most so many, the nearest of each of as many sections first, in order of offset."""
    if len(offset_m) <= most:
        return np.argsort(offset_m, kind="stable")
    section = np.minimum((offset_m / max(length_m, 1.0) * most).astype(np.intp), most - 1)
    order = np.lexsort((distance_m, section))
    begins = np.searchsorted(section[order], np.arange(most))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order)) - begins[section[order]]
    chosen = np.lexsort((distance_m, rank))[:most]
    return chosen[np.argsort(offset_m[chosen], kind="stable")]


class Detours:
    """Of stations beside one line."""

    def __init__(self, client: RoadsClient, snaps: Snaps, line: Line, avoid: Sequence[str], deadline: Deadline) -> None:
        self._client = client
        self._snaps = snaps
        self._line = line
        self._avoid = avoid
        self._deadline = deadline
        self._one_at_a_time = asyncio.Semaphore(AT_ONCE)

    async def of(self, near: Candidates) -> Floats:
        """(n, 2): seconds and metres, nan where no way leads. Raises RoadsAwayError."""
        served = self._client.served()
        if served is None:
            raise RoadsAwayError(NO_ROADS)
        places = [LatLon(*place) for place in zip(near.lat.tolist(), near.lon.tolist(), strict=True)]
        snaps = await self._snaps.find(served.graph, places, self._deadline)
        windows = [self._window(offset_m) for offset_m in near.offset_m.tolist()]
        needed = list(dict.fromkeys(window for window, snap in zip(windows, snaps, strict=True) if snap is not None))
        direct = dict(zip(needed, await self._all(self._drive(*window, None) for window in needed), strict=True))
        by = await self._all(
            _nowhere() if snap is None else self._drive(*window, snap.place)
            for window, snap in zip(windows, snaps, strict=True)
        )
        told = np.full((len(places), 2), np.nan)
        for k, (leg, window) in enumerate(zip(by, windows, strict=True)):
            straight = direct.get(window)
            if leg is not None and straight is not None:
                told[k] = max(0.0, leg.seconds - straight.seconds), max(0.0, leg.metres - straight.metres)
        return told

    def _window(self, offset_m: float) -> tuple[float, float]:
        begin_m = max(0.0, math.floor((offset_m - WINDOW_M) / STEP_M) * STEP_M)
        return begin_m, min(self._line.length_m, math.ceil((offset_m + WINDOW_M) / STEP_M) * STEP_M)

    async def _all(self, calls: Iterable[Coroutine[Any, Any, Leg | None]]) -> list[Leg | None]:
        """As many at a time as Valhalla has places for us. Raises RoadsAwayError."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call) for call in calls]
        except* RoadsAwayError as failures:
            raise _first(failures) from None
        return [task.result() for task in tasks]

    async def _drive(self, begin_m: float, end_m: float, stop: Place | None) -> Leg | None:
        """Between two points of the line, by way of a stop. None: no way leads. Raises RoadsAwayError."""
        stops = [] if stop is None else [stop]
        for with_heading in (True, False):  # no edge of that heading: the line is a rough one
            places = [self._place(begin_m, with_heading), *stops, self._place(end_m, with_heading)]
            body = {"locations": places, "units": "km", "directions_type": "none", **costing(self._avoid)}
            async with self._one_at_a_time:
                try:
                    told = await self._client.ask("route", body, self._deadline)
                except RefusedError:
                    continue
            summary: Mapping[str, float] = told["trip"]["summary"]
            return Leg(summary["time"], summary["length"] * 1000)
        return None

    def _place(self, offset_m: float, with_heading: bool) -> Place:
        line = self._line
        at = line.at(offset_m)
        place = {"lat": at.lat, "lon": at.lon}
        if with_heading:
            before, behind = line.at(max(0.0, offset_m - HEADING_M)), line.at(min(line.length_m, offset_m + HEADING_M))
            place |= {"heading": _heading(before, behind), "heading_tolerance": HEADING_TOLERANCE}
        return place


class Leg(NamedTuple):
    seconds: float
    metres: float


async def _nowhere() -> None:
    pass


def _heading(a: LatLon, b: LatLon) -> int:
    """Degrees clockwise from north, of two near points."""
    east = ((b.lon - a.lon + 540) % 360 - 180) * math.cos(math.radians((a.lat + b.lat) / 2))
    return round(math.degrees(math.atan2(east, b.lat - a.lat))) % 360


def _first(failures: BaseExceptionGroup[RoadsError]) -> BaseException:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
