"""The stations that are soonest reached by car, among those that a filter keeps.

A shortlist by air line is asked about in one matrix call. That is the answer if no station outside of it can be sooner: none
is driven to faster than TOP_SPEED_KMH along the air line between the points on the roads, so whatever is farther away than
what that speed makes of the last answer's time is out. If the shortlist does not reach so far, it grows until it does
(`is_proven`). How far that was is remembered for the neighbourhood, so that the next shortlist from there need not grow. Its
oracle is the matrix over all stations within the radius (tests/e2e/test_roads.py).
When Valhalla gives no answer in time, the stations come by air line, and the answer says so (`degraded`).

Statuses go on while Valhalla computes: the filter is applied again to what came back, so an answer is as of its own instant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.point import Floats, LatLon
from geo.select import Counts, nearest, select
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.params import NearbyQuery
from mapsvc.roads.client import RoadsAwayError, RoadsClient, RoadsError
from mapsvc.roads.costing import TOP_SPEED_KMH
from mapsvc.roads.cut_off import CutOff
from mapsvc.roads.matrix import Drives, drives
from mapsvc.roads.snapping import STATION_SNAP_M, Origin, Snaps, origin_place

SHORTLIST = 50
NEIGHBOURHOOD_RES = 7  # H3: 1.2 km; who asks from there has to look about as far
SPARE = 1.15
MOST_REACHED = 20_000  # neighbourhoods remembered, 5 MB
SHARE = 2.5  # stations on the shortlist for each that is wanted, if that is more
LOCAL_M = 3_000.0  # a station that no other gets to may yet be reached by who is so near
LOST_WITHIN_M = 30_000  # one farther away may only be too far for the search
MOST = 800  # stations that a shortlist may grow to
ANSWER_S = 1.0  # for one request; an app falls back to the air line rather than wait

NO_ROAD = (
    "no_road"  # why an answer is degraded, besides those of the client: the driver is not near a road of this graph
)

_TOP_SPEED_MS = TOP_SPEED_KMH / 3.6


class Places(NamedTuple):
    """Stations, one a row."""

    nums: NDArray[np.int64]
    lat: Floats
    lon: Floats
    metres: Floats  # by air line

    def those(self, index: NDArray[np.intp]) -> Places:
        return Places(self.nums[index], self.lat[index], self.lon[index], self.metres[index])

    def and_those(self, other: Places) -> Places:
        return Places(
            np.concatenate((self.nums, other.nums)),
            np.concatenate((self.lat, other.lat)),
            np.concatenate((self.lon, other.lon)),
            np.concatenate((self.metres, other.metres)),
        )


class Candidates(NamedTuple):
    """By air line, nearest first. `known_m`: as far as this all that match are among them; inf where nobody asks for more.
    `unknown_hours`: left out on the way, for hours that nobody knows."""

    places: Places
    known_m: float
    unknown_hours: int


class Driven(NamedTuple):
    """The answer. `metres`: by air line; `seconds`, `road_m`: of the drive, nan in an answer by air line. `degraded`: why it is
    one, empty if it is not. `unreachable`: stations that were looked at and no road leads to."""

    rows: Rows
    metres: Floats
    seconds: Floats
    road_m: Floats
    counts: Counts
    max_kw: NDArray[np.float32]
    unknown_hours: int
    degraded: str
    is_proven: bool
    unreachable: int


class DriveTimes:
    def __init__(self, world: World, now_ms: Callable[[], int], client: RoadsClient, snaps: Snaps) -> None:
        self._world = world
        self._now_ms = now_ms
        self._client = client
        self._snaps = snaps
        self._cut_off = CutOff(world, client, snaps)
        self.asked = 0
        self.grown = 0
        self._reached: OrderedDict[tuple[int, int, int], float] = OrderedDict()

    async def nearest(self, query: NearbyQuery) -> Driven:
        """Does not raise RoadsError: then the answer is by air line."""
        deadline = Deadline.after(ANSWER_S)
        self.asked += 1
        try:
            return await self._by_road(query, deadline)
        except RoadsAwayError as error:
            return self._by_air(query, error.reason)
        except (RoadsError, _NoRoadError):
            return self._by_air(query, NO_ROAD)

    def _by_air(self, query: NearbyQuery, why: str) -> Driven:
        self._world.advance(self._now_ms())
        found = nearest(self._world, query.at, query.radius_m, query.limit, query.wanted)
        unknown = np.full(len(found.rows), np.nan)
        return Driven(
            found.rows, found.metres, unknown, unknown, found.counts, found.max_kw, found.unknown_hours, why, False, 0
        )  # fmt: skip

    async def _by_road(self, query: NearbyQuery, deadline: Deadline) -> Driven:
        with self._client.one_graph() as served:
            return await self._on_graph(served.graph, query, deadline)

    async def settled(self) -> None:
        """Once it is known whether stations that were not reached are reached by anybody."""
        await self._cut_off.settled()

    async def close(self) -> None:
        await self._cut_off.close()

    async def _on_graph(self, graph: str, query: NearbyQuery, deadline: Deadline) -> Driven:
        origin = await self._snaps.origin(query.at, deadline)
        if origin is None:
            raise _NoRoadError
        near = self._first(query)
        times = await self._times(graph, query.at, origin, near.places, deadline)
        if near.known_m < query.radius_m and not np.isfinite(times.seconds).any():
            raise _NoRoadError  # an island: the driver's, most likely
        reach_m = _reach_m(times, query.limit, origin.off_m)
        is_proven = reach_m <= near.known_m
        if not is_proven:
            self.grown += 1
            try:
                near, times = await self._grown(graph, query, origin, near, times, deadline)
                is_proven = _reach_m(times, query.limit, origin.off_m) <= near.known_m
            except RoadsError:
                pass  # what is there is an answer, though not proven
        self._remember(query, _reach_m(times, query.limit, origin.off_m))
        return self._answer(query, near, times, is_proven)

    def _first(self, query: NearbyQuery) -> Candidates:
        """The shortlist: as far as the last answer from here had to look, with a little more; else the nearest."""
        reach_m = self._reached.get(_neighbourhood(query))
        if reach_m is not None:
            near = self._candidates(query, min(reach_m * SPARE, query.radius_m), MOST)
            if len(near.places.nums) >= query.limit:
                return near
        return self._candidates(query, query.radius_m, max(SHORTLIST, int(SHARE * query.limit)))

    def _remember(self, query: NearbyQuery, reach_m: float) -> None:
        if np.isfinite(reach_m):
            self._reached[_neighbourhood(query)] = reach_m
            if len(self._reached) > MOST_REACHED:
                self._reached.popitem(last=False)

    async def _grown(
        self, graph: str, query: NearbyQuery, origin: Origin, near: Candidates, times: Drives, deadline: Deadline
    ) -> tuple[Candidates, Drives]:
        """With all that could be sooner than what is known: more times can only lower the last answer's, so one step is enough
        unless these are too many. Raises RoadsError."""
        wider = self._candidates(query, min(_reach_m(times, query.limit, origin.off_m), query.radius_m), MOST)
        new = wider.places.those(np.flatnonzero(~np.isin(wider.places.nums, near.places.nums)))
        told = await self._times(graph, query.at, origin, new, deadline)
        return (
            Candidates(near.places.and_those(new), wider.known_m, wider.unknown_hours),
            Drives(np.concatenate((times.seconds, told.seconds)), np.concatenate((times.metres, told.metres))),
        )

    def _candidates(self, query: NearbyQuery, radius_m: float, count: int) -> Candidates:
        found = nearest(self._world, query.at, radius_m, count, query.wanted)
        s = self._world.stations
        rows = found.rows
        places = Places(s.num[rows], s.lat[rows], s.lon[rows], found.metres)
        known_m = float(found.metres[-1]) if len(rows) == count else inf if radius_m >= query.radius_m else radius_m
        return Candidates(places, known_m, found.unknown_hours)

    async def _times(self, graph: str, at: LatLon, origin: Origin, near: Places, deadline: Deadline) -> Drives:
        places = [LatLon(*place) for place in zip(near.lat.tolist(), near.lon.tolist(), strict=True)]
        snaps = await self._snaps.find(graph, places, deadline)
        snaps = [
            None if metres > LOCAL_M + origin.off_m and self._snaps.is_left_out(graph, place) else snap
            for snap, place, metres in zip(snaps, places, near.metres.tolist(), strict=True)
        ]
        on_road = np.flatnonzero([snap is not None for snap in snaps])
        # Who stands where a station is must not be a tenth of a metre past it on a one-way road, by rounding.
        targets = [snap.plain if origin.touches(snap.at) else snap.place for snap in snaps if snap is not None]
        told = await drives(self._client, origin_place(at), targets, deadline)
        lost = on_road[np.isnan(told.seconds)]
        if len(lost) < len(on_road):
            self._cut_off.suspect(graph, (places[k] for k in lost if near.metres[k] <= LOST_WITHIN_M))
        seconds, metres = np.full(len(places), np.nan), np.full(len(places), np.nan)
        seconds[on_road], metres[on_road] = told
        return Drives(seconds, metres)

    def _answer(self, query: NearbyQuery, near: Candidates, times: Drives, is_proven: bool) -> Driven:
        """As the stations are now: some may have gone, or changed their status, since they were chosen."""
        world = self._world
        world.advance(self._now_ms())
        places = near.places
        rows, at = still_standing(world, places.nums, places.lat, places.lon)
        chosen = select(world, rows[at], query.wanted)
        reached = np.isfinite(times.seconds[at])
        fits = np.flatnonzero(chosen.keep & reached)
        order = _in_order(world, rows[at[fits]], times.seconds[at[fits]])[: query.limit]
        best = fits[order]
        found = at[best]
        return Driven(
            rows[found], places.metres[found], times.seconds[found], times.metres[found], chosen.counts[best],
            chosen.max_kw[best], near.unknown_hours, "", is_proven, int(np.count_nonzero(chosen.keep & ~reached)),
        )  # fmt: skip


def still_standing(world: World, nums: NDArray[np.int64], lat: Floats, lon: Floats) -> tuple[Rows, NDArray[np.intp]]:
    """Rows of stations that were chosen a moment ago, and which of them stand where they stood then."""
    rows = world.rows_of_nums(nums)
    s = world.stations
    return rows, np.flatnonzero((rows >= 0) & s.shown[rows] & (s.lat[rows] == lat) & (s.lon[rows] == lon))


class _NoRoadError(Exception):
    pass


def _neighbourhood(query: NearbyQuery) -> tuple[int, int, int]:
    """Of the filter its hash: it may be long, and if two of them meet, a shortlist is of another length, no more."""
    return h3.latlng_to_cell(query.at.lat, query.at.lon, NEIGHBOURHOOD_RES), query.limit, hash(query.wanted)


def _reach_m(times: Drives, limit: int, off_m: float) -> float:
    """Stations farther than this by air line are not among the first `limit`: inf while fewer are known to be reached."""
    known = np.sort(times.seconds[np.isfinite(times.seconds)])
    if len(known) < limit:
        return inf
    # Times come in whole seconds: half a second may have been rounded away.
    return float((known[limit - 1] + 0.5) * _TOP_SPEED_MS + off_m + STATION_SNAP_M)


def _in_order(world: World, rows: Rows, seconds: Floats) -> Sequence[int]:
    """By time, ties by id."""
    keys = [(second, world.key(row)) for second, row in zip(seconds.tolist(), rows.tolist(), strict=True)]
    return sorted(range(len(keys)), key=keys.__getitem__)
