"""Stations that no way leads to from anywhere near: an island, a yard cut off by the extract's edge.

One of them in a matrix costs more than all the others, as the search for it ends only where the graph does. So those that a
matrix did not reach are looked into, one after the other, beside the requests: if none of the many stations next to it gets
there either, it is left out of all questions but those of drivers who are near and may be on that island. A driver on an
island says nothing about the mainland's stations: these are reached by their neighbours; and stations that reach one another
stay, however few they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cache.tasks import end
from geo.point import LatLon
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.roads.client import RoadsClient, RoadsError
from mapsvc.roads.matrix import is_reached
from mapsvc.roads.snapping import Snaps

WITHIN_M = 20_000.0
NEIGHBOURS = 30
LEAST = 10  # neighbours that must have been asked
LOOK_S = 3.0
MOST_SUSPECTS = 200
MOST_CLEARED = 50_000  # stations that some neighbour gets to


class CutOff:
    def __init__(self, world: World, client: RoadsClient, snaps: Snaps) -> None:
        self._world = world
        self._client = client
        self._snaps = snaps
        self._graph = ""
        self._suspects: dict[LatLon, None] = {}
        self._cleared: set[LatLon] = set()
        self._looking: asyncio.Task[None] | None = None

    def suspect(self, graph: str, places: Iterable[LatLon]) -> None:
        """Stations that were not reached although others were."""
        if graph != self._graph:
            self._graph, self._suspects, self._cleared = graph, {}, set()
        for at in places:
            if at not in self._cleared and len(self._suspects) < MOST_SUSPECTS:
                self._suspects[at] = None
        if self._suspects and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look_into_all())

    async def settled(self) -> None:
        """Once all suspects have been looked into."""
        if self._looking is not None:
            await self._looking

    async def close(self) -> None:
        if self._looking is not None:
            await end([self._looking])

    async def _look_into_all(self) -> None:
        while self._suspects:
            at = next(iter(self._suspects))
            try:
                with self._client.one_graph() as served:
                    if served.graph == self._graph:
                        await self._look_into(served.graph, at)
            except RoadsError:
                pass  # it will be suspected again
            self._suspects.pop(at, None)

    async def _look_into(self, graph: str, at: LatLon) -> None:
        s, rows = self._world.stations, self._world.nearby.nearest(at, WITHIN_M, NEIGHBOURS).rows
        places = [LatLon(*place) for place in zip(s.lat[rows].tolist(), s.lon[rows].tolist(), strict=True)]
        deadline = Deadline.after(LOOK_S)
        snaps = await self._snaps.find(graph, [at, *places], deadline)
        neighbours = [
            snap.place for place, snap in zip(places, snaps[1:], strict=True) if snap is not None and place != at
        ]
        if snaps[0] is None or len(neighbours) < LEAST:
            return
        if await is_reached(self._client, neighbours, snaps[0].place, deadline):
            if len(self._cleared) < MOST_CLEARED:
                self._cleared.add(at)
        else:
            self._snaps.leave_out(graph, at)
