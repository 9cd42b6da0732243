"""Where stations meet the roads of a graph, found out once for each.

Finding the edges near a position, and whether these lead anywhere, is most of what a matrix over near stations costs (0.3 ms
each). A station keeps its place while the graph stays, so it is looked up once: where the nearest edge that leads somewhere
is, and how far off. A position on that very edge needs no such search. Invariant: the short form is used only if Valhalla
answers it with the same edges as the plain position, so what is computed from it is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from geo.point import LatLon, haversine_m
from mapsvc.deadline import Deadline
from mapsvc.roads.client import RefusedError, RoadsClient
from mapsvc.roads.costing import costing

STATION_SNAP_M = 1_000  # a station farther off any road is not on this graph: the extract ends before it
ORIGIN_SNAP_M = 2_000  # the same for a driver
SHORT = {"minimum_reachability": 0, "search_cutoff": 20}
MAX_KNOWN = 200_000  # stations, some 100 MB
TOUCHES_DEG = 2e-5  # two metres: positions are rounded to a tenth of one
NEAREST_POLE = 89.999999
NO_EDGES = 171  # Valhalla's code for a place without a road
AT_ONCE = 200  # positions in one call: 60 ms

Place = Mapping[str, Any]


class Snap(NamedTuple):
    """`place`: what stands for it in requests, `plain` the longer form of it. `at`: where it meets the road."""

    place: Place
    plain: Place
    at: LatLon


class Origin(NamedTuple):
    """Where a drive may begin: on any of these points. `off_m`: of the farthest from the driver, as the crow flies."""

    points: tuple[LatLon, ...]
    off_m: float

    def touches(self, at: LatLon) -> bool:
        """Whether a point is one of these but for rounding."""
        return any(
            abs(at.lat - point.lat) < TOUCHES_DEG and abs(at.lon - point.lon) < TOUCHES_DEG for point in self.points
        )


class Snaps:
    """Of one graph after the other: `find` is told which."""

    def __init__(self, client: RoadsClient) -> None:
        self._client = client
        self._graph = ""
        self._known: dict[LatLon, Snap | None] = {}
        self._left_out: set[LatLon] = set()

    async def find(self, graph: str, places: Sequence[LatLon], deadline: Deadline) -> list[Snap | None]:
        """For each position of a station; None: no road there. Raises RoadsError."""
        if graph != self._graph:
            self._graph, self._known, self._left_out = graph, {}, set()
        told = {at: self._known[at] for at in places if at in self._known}
        new = list(dict.fromkeys(at for at in places if at not in told))
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            found = dict(zip(some, await self._look_up(some, deadline), strict=True))
            told |= found
            if graph == self._graph:  # else another request has turned to another graph meanwhile
                if len(self._known) + len(found) > MAX_KNOWN:
                    self._known.clear()
                self._known |= found
        return [told[at] for at in places]

    def leave_out(self, graph: str, at: LatLon) -> None:
        """No way leads there from anywhere near (mapsvc.roads.cut_off)."""
        if graph == self._graph:
            self._left_out.add(at)

    def is_left_out(self, graph: str, at: LatLon) -> bool:
        return graph == self._graph and at in self._left_out

    async def _look_up(self, places: Sequence[LatLon], deadline: Deadline) -> list[Snap | None]:
        plain = [place_of(at, search_cutoff=STATION_SNAP_M) for at in places]
        first = await self._locate(plain, deadline)
        on_road = {k: edges[0].at for k, edges in enumerate(first) if edges}
        short = {k: place_of(at, **SHORT) for k, at in on_road.items()}
        again = await self._locate(list(short.values()), deadline)
        snaps: list[Snap | None] = [None] * len(places)
        for k, edges in zip(on_road, again, strict=True):
            is_same = _names(edges) == _names(first[k])
            snaps[k] = Snap(short[k] if is_same else plain[k], plain[k], on_road[k])
        return snaps

    async def origin(self, at: LatLon, deadline: Deadline) -> Origin | None:
        """None: the driver is too far from any road. Raises RoadsError."""
        points = tuple(edge.at for edge in (await self._locate([origin_place(at)], deadline))[0])
        return Origin(points, max(haversine_m(at, point) for point in points)) if points else None

    async def _locate(self, places: Sequence[Place], deadline: Deadline) -> list[list[Edge]]:
        """The edges for each position."""
        if not places:
            return []
        try:
            told = await self._client.ask("locate", {"locations": places, "verbose": False, **costing()}, deadline)
        except RefusedError as error:
            if error.code != NO_EDGES:
                raise
            return [[] for _ in places]
        with self._client.reading():
            return [[Edge.of(edge) for edge in one["edges"] or ()] for one, _ in zip(told, places, strict=True)]


class Edge(NamedTuple):
    """A road near a position. `at`: the point on it."""

    way: int
    percent_along: float
    at: LatLon

    @classmethod
    def of(cls, told: Place) -> Edge:
        at = LatLon.of(told["correlated_lat"], told["correlated_lon"])
        return cls(int(told["way_id"]), round(float(told["percent_along"]), 3), at)


def place_of(at: LatLon, **more: float) -> Place:
    """As requests have it. At the poles themselves Valhalla fails; a tenth of a metre beside them it does not."""
    return {"lat": max(-NEAREST_POLE, min(NEAREST_POLE, at.lat)), "lon": at.lon, **more}


def origin_place(at: LatLon) -> Place:
    return place_of(at, search_cutoff=ORIGIN_SNAP_M)


def _names(edges: Sequence[Edge]) -> list[tuple[int, float]]:
    return sorted((edge.way, edge.percent_along) for edge in edges)
