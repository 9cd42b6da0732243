"""`POST /v1/along-route`: stations along a line, by what stopping there costs.

The line is a route computed here, or a plain polyline of any navigation system. **Detour** of a station: the time of the best
way from a point of the line before it, by the station, to a point of the line behind it, less that of the best way between the
two. They lie up to WINDOW_M before and behind where the line passes nearest, on a grid so that near stations share them. So a
detour is exact where the best one leaves and joins the line between them, else too large.
That holds where the line itself is about the best way between the two. One that goes to a place and back again is not: there
they move together until it is (STRAIGHT, BEST). Where even the nearest points are on either side of a turn back, the way
without the station goes by way of the line's own point. Its oracle is Valhalla asked directly (tests/e2e/test_roads.py).

Candidates are chosen by air line, filters first; at most MOST are asked about, the nearest of each section of the line
(`is_complete` says whether that was all); those of an answer by offset until there are enough of them. Without Valhalla the
stations beside a given line come by offset, without detours.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo.along import rows_about
from geo.columns import Rows
from geo.corridor import Beside, Line, LineError, beside_vectors
from geo.filters import Filter
from geo.point import Floats, LatLon, haversine_m
from geo.polyline import PRECISIONS, PolylineError, decode
from geo.select import Counts, select
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.json_body import Members
from mapsvc.params import parse_tile_filter
from mapsvc.problems import Fault, Unavailable, Unprocessable
from mapsvc.roads.client import NO_ROADS, RefusedError, RoadsAwayError, RoadsClient, RoadsError
from mapsvc.roads.costing import AVOIDABLE, TOP_SPEED_KMH, costing
from mapsvc.roads.drive_time import still_standing
from mapsvc.roads.route import RouteQuery, find_trips, joined
from mapsvc.roads.snapping import STATION_SNAP_M, Place, Snaps, place_of
from mapsvc.roads.valhalla_files import MAX_ROUTE_M
from mapsvc.roads.waypoints import Waypoint, away, read_waypoints, refusal

ALONG_S = 8.0
MOST = 60  # stations that are asked about; each takes 5 to 10 ms
WINDOW_M = 15_000.0  # motorway exits are some 5 to 10 km apart: out before the station, in again behind it
STEP_M = 5_000.0
HALVINGS = 4  # of both, at most, where the line turns back
STRAIGHT = 0.6  # the air line between two points, of the line's length between them: then it hardly turns back
BEST = 0.85  # time of the best way between two points, of that along the line
HEADING_M = 30.0  # of line on either side that tell its heading
HEADING_TOLERANCE = 60  # degrees: the right carriageway, not the other one

MEASURED_AT_ONCE = 2  # lines of a worker
MEASURE_S = 2.0  # for what stands beside a line; 20,000 stations and 200,000 positions take 0.1 s
MEASURE_PART = 200  # stations between two looks at the clock
AT_ONCE = 2  # calls of one request with Valhalla: others have their turns
FEW = 2 * AT_ONCE  # stations: it is not worth while to ask about fewer

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
        positions = msgspec.convert(value["coordinates"], list[list[float]])
        if min(map(len, positions), default=0) < 2:
            raise ValueError
        pairs = np.array(positions if len(set(map(len, positions))) == 1 else [one[:2] for one in positions])
    except (msgspec.ValidationError, ValueError):
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
        # A thread cannot be ended: whoever gives up at its deadline leaves it to these two.
        self._threads = ThreadPoolExecutor(MEASURED_AT_ONCE, thread_name_prefix="along")

    async def find(self, query: AlongQuery) -> Found:
        """Raises Problem."""
        deadline = Deadline.after(ALONG_S)
        near: Candidates | None = None
        try:
            with self._client.one_graph():
                line, duration_s = await self._line(query, deadline)
                near = await self._candidates(line, query)
                return await self._by_road(query, line, duration_s, near, deadline)
        except RoadsAwayError as error:
            if query.line is None:
                raise away(error) from None
            near = near or await self._candidates(query.line, query)
            extra = np.full((len(near.nums), 2), np.nan)
            return self._answer(query, query.line, None, near, extra, error.reason)

    async def _line(self, query: AlongQuery, deadline: Deadline) -> tuple[Line, float | None]:
        """And the seconds that it takes, where they are known. Raises RoadsAwayError, Problem."""
        if query.line is not None:
            return query.line, None
        asked = RouteQuery(query.waypoints, query.avoid, maneuvers=False)
        try:
            trip = (await find_trips(self._client, asked, deadline))[0]
        except RefusedError as error:
            raise await refusal(self._client, error, query.waypoints, deadline) from None
        try:
            with self._client.reading():
                lat, lon = joined(trip["legs"])
                duration_s = float(trip["summary"]["time"])
            return Line(lat, lon), duration_s
        except LineError:
            raise Unprocessable(
                "The route has no length.", [Fault("/waypoints", "two different places at least")], in_body=True
            ) from None

    async def _by_road(
        self, query: AlongQuery, line: Line, duration_s: float | None, near: Candidates, deadline: Deadline
    ) -> Found:
        """Asks about as many as the answer takes. Raises RoadsAwayError."""
        detours = Detours(self._client, self._snaps, line, query.avoid, deadline)
        extra, count, fitting = np.zeros((0, 2)), 0, 0
        while True:
            more = MOST if query.sort == BY_DETOUR else max(FEW, query.limit - fitting)
            extra = np.concatenate((extra, await detours.of(near.part(count, count + more))))
            count = len(extra)
            found = self._answer(query, line, duration_s, near.part(0, count), extra, "")
            fitting = len(found.rows)
            if fitting == query.limit or count == len(near.nums):
                return found

    async def _candidates(self, line: Line, query: AlongQuery) -> Candidates:
        """Filters first; then which of these stand beside the line, in a thread: a line may pass a town a hundred times.
        Raises Unavailable when that takes too long."""
        try:
            async with asyncio.timeout(MEASURE_S):
                return await self._beside(line, query)
        except TimeoutError:
            raise Unavailable("The line takes too long to look along.", 2) from None

    async def _beside(self, line: Line, query: AlongQuery) -> Candidates:
        """Raises TimeoutError."""
        world = self._world
        world.advance(self._now_ms())
        s, rows = world.stations, rows_about(world, line, query.max_distance_m)
        rows = rows[select(world, rows, query.wanted).keep]
        nums, lat, lon = s.num[rows], s.lat[rows], s.lon[rows]  # rows may be others' by then
        beside = await asyncio.get_running_loop().run_in_executor(
            self._threads, _measured, line, s.xyz[rows], query.max_distance_m, time.monotonic() + MEASURE_S
        )
        # No detour is shorter than the air line to the station's road and back, driven at top speed.
        keep = (beside.distance_m - STATION_SNAP_M) * 2 / (TOP_SPEED_KMH / 3.6) <= query.max_detour_s
        index, offset_m, distance_m = beside.index[keep], beside.offset_m[keep], beside.distance_m[keep]
        chosen = _spread(offset_m, distance_m, line.length_m, MOST)
        at = index[chosen]
        return Candidates(
            nums[at], lat[at], lon[at], offset_m[chosen], distance_m[chosen], len(index), len(index) == len(chosen)
        )

    def _answer(
        self, query: AlongQuery, line: Line, duration_s: float | None, near: Candidates, extra: Floats, degraded: str
    ) -> Found:
        """As the stations are now."""
        world = self._world
        world.advance(self._now_ms())
        rows, there = still_standing(world, near.nums, near.lat, near.lon)
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
            extra[at, 1], line.length_m, duration_s, near.considered, near.is_complete, degraded,
        )  # fmt: skip


class Candidates(NamedTuple):
    nums: NDArray[np.int64]
    lat: Floats
    lon: Floats
    offset_m: Floats
    distance_m: Floats
    considered: int  # before the nearest of each section were chosen
    is_complete: bool

    def part(self, first: int, last: int) -> Candidates:
        some = slice(first, last)
        return self._replace(
            nums=self.nums[some],
            lat=self.lat[some],
            lon=self.lon[some],
            offset_m=self.offset_m[some],
            distance_m=self.distance_m[some],
        )


def _measured(line: Line, xyz: Floats, max_distance_m: float, give_up_at: float) -> Beside:
    """As `beside_vectors`, part by part: a line that goes back and forth takes 2 ms a station. Raises TimeoutError."""
    parts = []
    for first in range(0, max(1, len(xyz)), MEASURE_PART):
        if time.monotonic() > give_up_at:
            raise TimeoutError
        part = beside_vectors(line, xyz[first : first + MEASURE_PART], max_distance_m)
        parts.append((part.index + first, part.offset_m, part.distance_m))
    return Beside(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


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


class Window(NamedTuple):
    """Two points of the line, metres from its beginning; `by_m`: a point between them that the way without a stop goes by."""

    begin_m: float
    end_m: float
    by_m: float | None


class Detours:
    """Of stations beside one line."""

    def __init__(self, client: RoadsClient, snaps: Snaps, line: Line, avoid: Sequence[str], deadline: Deadline) -> None:
        self._client = client
        self._snaps = snaps
        self._line = line
        self._avoid = avoid
        self._deadline = deadline
        self._one_at_a_time = asyncio.Semaphore(AT_ONCE)
        self._without: dict[Window, Leg | None] = {}
        self._best: dict[Window, bool] = {}
        self._places: dict[tuple[float, bool], Place] = {}

    async def of(self, near: Candidates) -> Floats:
        """(n, 2): seconds and metres, nan where no way leads. Raises RoadsAwayError."""
        served = self._client.served()
        if served is None:
            raise RoadsAwayError(NO_ROADS)
        places = [LatLon(*place) for place in zip(near.lat.tolist(), near.lon.tolist(), strict=True)]
        snaps = await self._snaps.find(served.graph, places, self._deadline)
        windows = [await self._window(offset_m) for offset_m in near.offset_m.tolist()]
        needed = dict.fromkeys(window for window, snap in zip(windows, snaps, strict=True) if snap is not None)
        await self._all(self._direct(window) for window in needed)
        by = await self._all(
            _nowhere() if snap is None else self._drive(window, [snap.place])
            for window, snap in zip(windows, snaps, strict=True)
        )
        told = np.full((len(places), 2), np.nan)
        for k, (leg, window) in enumerate(zip(by, windows, strict=True)):
            straight = self._without.get(window)
            if leg is not None and straight is not None:
                told[k] = max(0.0, leg.seconds - straight.seconds), max(0.0, leg.metres - straight.metres)
        return told

    async def _window(self, offset_m: float) -> Window:
        """The points between which a stop at this offset is compared. Raises RoadsAwayError."""
        line = self._line
        for halvings in range(HALVINGS + 1):
            reach_m, step_m = WINDOW_M / 2**halvings, STEP_M / 2**halvings
            begin_m = max(0.0, math.floor((offset_m - reach_m) / step_m) * step_m)
            end_m = min(line.length_m, math.ceil((offset_m + reach_m) / step_m) * step_m)
            window = Window(begin_m, end_m, None)
            if haversine_m(line.at(begin_m), line.at(end_m)) >= STRAIGHT * (end_m - begin_m):
                return window
            if await self._is_best_way(window, step_m):
                return window
        return Window(begin_m, end_m, offset_m)

    async def _is_best_way(self, window: Window, step_m: float) -> bool:
        """Whether the line is about as good as any way between the two points: it may wind along a river."""
        if window not in self._best:
            between = np.arange(window.begin_m + step_m, window.end_m - step_m / 2, step_m)
            by = [{**self._place(float(at_m), True), "type": "through"} for at_m in between]
            along, direct = await self._drive(window, by), await self._direct(window)
            self._best[window] = along is not None and direct is not None and direct.seconds >= BEST * along.seconds
        return self._best[window]

    async def _direct(self, window: Window) -> Leg | None:
        """The way without a stop."""
        if window not in self._without:
            by = [] if window.by_m is None else [self._place(window.by_m, False)]
            self._without[window] = await self._drive(window, by)
        return self._without[window]

    async def _all(self, calls: Iterable[Coroutine[Any, Any, Leg | None]]) -> list[Leg | None]:
        """As many at a time as Valhalla has places for us. Raises RoadsAwayError."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call) for call in calls]
        except* RoadsAwayError as failures:
            raise _first(failures) from None
        return [task.result() for task in tasks]

    async def _drive(self, window: Window, by: Sequence[Place]) -> Leg | None:
        """Between two points of the line by way of others. None: no way leads. Raises RoadsAwayError."""
        for with_heading in (True, False):  # no edge of that heading: the line is a rough one
            begin, end = (self._place(at_m, with_heading) for at_m in window[:2])
            places = [begin, *(by if with_heading else map(_without_heading, by)), end]
            body = {"locations": places, "units": "km", "directions_type": "none", **costing(self._avoid)}
            async with self._one_at_a_time:
                try:
                    told = await self._client.ask("route", body, self._deadline)
                except RefusedError:
                    continue
            with self._client.reading():
                summary = told["trip"]["summary"]
                return Leg(float(summary["time"]), float(summary["length"]) * 1000)
        return None

    def _place(self, offset_m: float, with_heading: bool) -> Place:
        """Kept: many windows share their points."""
        asked = offset_m, with_heading
        if asked not in self._places:
            self._places[asked] = self._placed(offset_m, with_heading)
        return self._places[asked]

    def _placed(self, offset_m: float, with_heading: bool) -> Place:
        line = self._line
        at = line.at(offset_m)
        if not with_heading:
            return place_of(at)
        before, behind = line.at(max(0.0, offset_m - HEADING_M)), line.at(min(line.length_m, offset_m + HEADING_M))
        return place_of(at, heading=_heading(before, behind), heading_tolerance=HEADING_TOLERANCE)


class Leg(NamedTuple):
    seconds: float
    metres: float


def _without_heading(place: Place) -> Place:
    return {name: value for name, value in place.items() if not name.startswith("heading")}


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
