"""TopoJSON (https://github.com/topojson/topojson-specification): arcs that several shapes share, and the shapes made of them.

Arcs are simplified before shapes are made of them, so that two neighbours still meet in one line.

Shapes are those of a globe: world-atlas has no cuts along the 180th meridian, its rings go on at the other side. They are
unrolled here, so that Russia goes on beyond x = 1, and everything is told once more a world to the east and to the west as
far as it is seen there; Antarctica, whose ring goes round the world, is closed beyond the map's edge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate

Line = NDArray[np.float64]  # (n, 2)

LEAST_RING = 4  # positions, the first once more at the end
WORLD = 1.0  # its width where shapes are wanted: a step of more than half of it goes the other way round
MARGIN = 0.05 * WORLD  # beyond the map's edge, shapes are still told: more than any tile's buffer


class Topology:
    """`project`: from (n, 2) longitudes and latitudes to where shapes are wanted, the unit square."""

    def __init__(self, document: Mapping[str, Any], project: Callable[[Line], Line]) -> None:
        scale, translate = (np.array(document["transform"][name]) for name in ("scale", "translate"))
        arcs = (np.cumsum(np.array(arc), axis=0) * scale + translate for arc in document["arcs"])
        self._arcs = [unrolled(project(arc)) for arc in arcs]
        self._objects = document["objects"]

    def simplified(self, tolerance: float) -> Topology:
        """No position is further from its arc than this; ends of arcs stay."""
        lines = shapely.simplify([shapely.LineString(arc) for arc in self._arcs], tolerance, preserve_topology=False)
        other = object.__new__(Topology)
        other._arcs = [shapely.get_coordinates(line) for line in lines]
        other._objects = self._objects
        return other

    def polygons(self, name: str) -> Iterator[tuple[Mapping[str, Any], list[shapely.Polygon]]]:
        """The properties and parts of each geometry, each part once; what simplifying left nothing of is left out."""
        for geometry in self._geometries(name):
            parts = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
            yield geometry.get("properties", {}), [made for part in parts if (made := self._polygon(part)) is not None]

    def shared(self, name: str) -> list[Line]:
        """The arcs between two geometries: borders without coasts."""
        users: defaultdict[int, set[int]] = defaultdict(set)
        for number, geometry in enumerate(self._geometries(name)):
            for arc in _flat(geometry["arcs"]):
                users[arc if arc >= 0 else ~arc].add(number)
        return [self._arcs[arc] for arc, some in users.items() if len(some) > 1]

    def _geometries(self, name: str) -> list[Mapping[str, Any]]:
        told = self._objects[name]
        some = told["geometries"] if told["type"] == "GeometryCollection" else [told]
        return [one for one in some if one.get("type") in ("Polygon", "MultiPolygon")]

    def _polygon(self, rings: Sequence[Sequence[int]]) -> shapely.Polygon | None:
        shell, *holes = (self._ring(ring) for ring in rings)
        if len(shell) < LEAST_RING:
            return None
        west = shell[:, 0].min()
        for hole in holes:  # into the same world as the shell
            hole[:, 0] += WORLD * np.ceil((west - hole[:, 0].min()) / WORLD)
        return shapely.Polygon(shell, [hole for hole in holes if len(hole) >= LEAST_RING])

    def _ring(self, arcs: Sequence[int]) -> Line:
        """~k is arc k backwards; an arc begins where the one before it ends, maybe some worlds away."""
        told: list[Line] = []
        for arc in arcs:
            line = self._arcs[arc] if arc >= 0 else self._arcs[~arc][::-1]
            if told:
                line = line[1:] + np.array((np.round((told[-1][-1, 0] - line[0, 0]) / WORLD) * WORLD, 0))
            told.append(line)
        return closed(np.concatenate(told))


def unrolled(line: Line) -> Line:
    """Without steps of more than half the world: it goes on beyond the edge. Before simplifying, which makes long steps."""
    return np.column_stack((np.unwrap(line[:, 0], period=WORLD), line[:, 1]))


def closed(ring: Line) -> Line:
    """A ring that went round the world has the pole inside: it ends where it began by way of that edge."""
    if abs(ring[-1, 0] - ring[0, 0]) < WORLD / 2:
        return ring
    edge = WORLD + MARGIN if ring[:, 1].mean() > WORLD / 2 else -MARGIN
    return np.concatenate([ring, [(ring[-1, 0], edge), (ring[0, 0], edge)], ring[:1]])


def all_round(shapes: Sequence[Any]) -> list[Any]:
    """Each as often as the map shows it: what goes on beyond one edge comes in at the other."""
    return [moved for shape in shapes for moved in _turned(shape)]


def _turned(shape: Any) -> Iterator[Any]:
    west, _, east, _ = shape.bounds
    first, last = ceil((-MARGIN - east) / WORLD), floor((WORLD + MARGIN - west) / WORLD)
    for turns in range(first, last + 1):
        yield translate(shape, turns * WORLD)


def _flat(arcs: Any) -> Iterator[int]:
    for one in arcs:
        if isinstance(one, int):
            yield one
        else:
            yield from _flat(one)
