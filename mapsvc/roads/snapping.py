"""Where stations meet the roads of a graph, found out once for each.

Finding the edges near a position, and whether these lead anywhere, is most of what a matrix over near stations costs (0.3 ms
each). A station keeps its place while the graph stays, so it is looked up once: where the nearest edge that leads somewhere
is, and how far off. A position on that very edge needs no such search. Invariant: the short form is used only if Valhalla
answers it with the same edges as the plain position, so what is computed from it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from geo.point import LatLon, haversine_m
from mapsvc.deadline import Deadline
from mapsvc.roads.client import RefusedError, RoadsClient
from mapsvc.roads.costing import costing

STATION_SNAP_M = 1_000  # a station farther off any road is not on this graph: the extract ends before it
ORIGIN_SNAP_M = 5_000  # the same for a driver
SHORT = {"minimum_reachability": 0, "search_cutoff": 20}
MAX_KNOWN = 200_000  # stations, some 100 MB
AT_ONCE = 200  # positions in one call: 60 ms

Place = Mapping[str, Any]


class Snap(NamedTuple):
    """`place`: what stands for it in requests. `off_m`: from the road, as the crow flies."""

    place: Place
    off_m: float


class Snaps:
    """Of one graph after the other: `find` is told which."""

    def __init__(self, client: RoadsClient) -> None:
        self._client = client
        self._graph = ""
        self._known: dict[tuple[float, float], Snap | None] = {}

    async def find(self, graph: str, places: Sequence[LatLon], deadline: Deadline) -> list[Snap | None]:
        """For each position of a station; None: no road there. Raises RoadsError."""
        if graph != self._graph:
            self._graph, self._known = graph, {}
        new = list({(at.lat, at.lon): at for at in places if (at.lat, at.lon) not in self._known}.values())
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            found = await self._look_up(some, deadline)
            if graph != self._graph:
                break  # what was found belongs to a graph that has gone
            if len(self._known) + len(some) > MAX_KNOWN:
                self._known.clear()
            self._known.update(zip(((at.lat, at.lon) for at in some), found, strict=True))
        return [self._known.get((at.lat, at.lon)) for at in places]

    def leave_out(self, graph: str, places: Iterable[LatLon]) -> None:
        """No way leads to these from where most drivers are (an island, a yard cut off by the extract's edge): as if no road
        were there. One of them in a matrix costs more than all the others: the search for it ends only where the graph does."""
        if graph == self._graph:
            self._known.update(dict.fromkeys(((at.lat, at.lon) for at in places), None))

    async def _look_up(self, places: Sequence[LatLon], deadline: Deadline) -> list[Snap | None]:
        plain = [{"lat": at.lat, "lon": at.lon, "search_cutoff": STATION_SNAP_M} for at in places]
        first = await self._locate(plain, deadline)
        on_road = {k: _on_road(edges[0]) for k, edges in enumerate(first) if edges}
        again = await self._locate([{"lat": at.lat, "lon": at.lon, **SHORT} for at in on_road.values()], deadline)
        snaps: list[Snap | None] = [None] * len(places)
        for (k, at), edges in zip(on_road.items(), again, strict=True):
            is_same = _named(edges) == _named(first[k])
            snaps[k] = Snap(
                {"lat": at.lat, "lon": at.lon, **SHORT} if is_same else plain[k], haversine_m(places[k], at)
            )
        return snaps

    async def origin_off_m(self, at: LatLon, deadline: Deadline) -> float | None:
        """How far a driver is from the road where a drive would begin; None: too far. Raises RoadsError."""
        edges = (await self._locate([origin_place(at)], deadline))[0]
        return haversine_m(at, _on_road(edges[0])) if edges else None

    async def _locate(self, places: Sequence[Place], deadline: Deadline) -> list[list[Place]]:
        """The edges for each position."""
        if not places:
            return []
        try:
            told = await self._client.ask("locate", {"locations": places, "verbose": False, **costing()}, deadline)
        except RefusedError:  # of none of them
            return [[] for _ in places]
        return [one.get("edges") or [] for one in told]


def origin_place(at: LatLon) -> Place:
    return {"lat": at.lat, "lon": at.lon, "search_cutoff": ORIGIN_SNAP_M}


def _on_road(edge: Place) -> LatLon:
    return LatLon(edge["correlated_lat"], edge["correlated_lon"])


def _named(edges: Sequence[Place]) -> list[tuple[int, float]]:
    return sorted((edge["way_id"], round(edge["percent_along"], 3)) for edge in edges)
