"""TopoJSON (https://github.com/topojson/topojson-specification): arcs that several shapes share, and the shapes made of them.

Arcs are simplified before shapes are made of them, so that two neighbours still meet in one line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Line = NDArray[np.float64]  # (n, 2)

LEAST_RING = 4  # positions, the first once more at the end


class Topology:
    """`project`: from (n, 2) longitudes and latitudes to where shapes are wanted."""

    def __init__(self, document: Mapping[str, Any], project: Callable[[Line], Line]) -> None:
        scale, translate = (np.array(document["transform"][name]) for name in ("scale", "translate"))
        self._arcs = [project(np.cumsum(np.array(arc), axis=0) * scale + translate) for arc in document["arcs"]]
        self._objects = document["objects"]

    def simplified(self, tolerance: float) -> Topology:
        """No position is further from its arc than this; ends of arcs stay."""
        lines = shapely.simplify([shapely.LineString(arc) for arc in self._arcs], tolerance, preserve_topology=False)
        other = object.__new__(Topology)
        other._arcs = [shapely.get_coordinates(line) for line in lines]
        other._objects = self._objects
        return other

    def polygons(self, name: str) -> Iterator[tuple[Mapping[str, Any], list[shapely.Polygon]]]:
        """The properties and parts of each geometry; what simplifying left nothing of is left out."""
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
        return shapely.Polygon(shell, [hole for hole in holes if len(hole) >= LEAST_RING])

    def _ring(self, arcs: Sequence[int]) -> Line:
        """~k is arc k backwards; an arc begins where the one before it ends."""
        lines = [self._arcs[arc] if arc >= 0 else self._arcs[~arc][::-1] for arc in arcs]
        return np.concatenate([lines[0], *(line[1:] for line in lines[1:])])


def _flat(arcs: Any) -> Iterator[int]:
    for one in arcs:
        if isinstance(one, int):
            yield one
        else:
            yield from _flat(one)
