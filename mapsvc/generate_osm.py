"""The roads of the synthetic world as OSM data, for Valhalla to build a graph of.

Nodes, ways and the one relation stand in this order and by id, as OSM files must. A region's nodes and ways are known at
the same time, so ways are kept in a file of their own until all nodes are written: memory holds one region, and of the
others only where links meet streets.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import osmium
from osmium.osm.mutable import Node, Relation, Way

from mapsvc.generate_plan import FloatArray, IntArray, Region, World
from mapsvc.generate_roads import KM_PER_DEGREE, Link, lon_scale
from mapsvc.generate_streets import RING, STREET, THROUGH, Lines, Places, Raster, Streets, lay_streets, raster_of
from mapsvc.generate_words import STREETS

COUNTRY = "Voltavia"
_COURSE_STEP_KM = 2.0
_BUILT_UP = 1.5  # sigmas from a town's middle: within, a link is a street
_PRIMARY_KM = 16.0  # from this length on: half of the links
_MAIN_KM = (1.0, 1.5)  # half of a main street's length: at least, in sigmas
_BORDER_DEG = 0.5  # beyond the outermost towns
_REFS = 999
_ASIDE = 0.2  # of its length: no link lies further off the straight line (a bend of 0.2 is half of that)
_LINK_NAMES = ("{}er Straße", "Route de {}", "{} Road", "Via {}")
_STREET_TAGS = {
    STREET: {"highway": "residential", "maxspeed": "30"},
    THROUGH: {"highway": "tertiary", "maxspeed": "50"},
    RING: {"highway": "secondary", "maxspeed": "70"},
}


class Written(NamedTuple):
    nodes: int
    ways: int
    km: float


class Point(NamedTuple):
    """Of a link's course: `t` from 0 to 1."""

    t: float
    lat: float
    lon: float


def write_roads(world: World, path: Path) -> Written:
    """Raises ValueError for a name that does not end in `.osm.pbf`. The file appears when it is whole."""
    if not path.name.endswith(".osm.pbf"):
        raise ValueError(f"{path.name}: the name must end in .osm.pbf")
    header = osmium.io.Header()
    header.set("generator", "mapsvc generate")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        whole, ways = Path(folder, "whole.osm.pbf"), Path(folder, "ways.osm.pbf")
        with osmium.SimpleWriter(whole, header=header) as out:
            with osmium.SimpleWriter(ways) as later:
                writing = _Writing(world, out, later)
                writing.write()
            osmium.apply(ways, out)
            if world.towns:
                out.add_relation(_country(world, writing.way_id))
        whole.replace(path)
    return Written(writing.node_id, writing.way_id, round(writing.km, 1))


class _Writing:
    def __init__(self, world: World, nodes: osmium.SimpleWriter, ways: osmium.SimpleWriter) -> None:
        self.world, self.nodes, self.ways = world, nodes, ways
        self.node_id = self.way_id = 0  # the last ones given
        self.km = 0.0
        self.stops: dict[int, list[float]] = {}
        for stop in itertools.chain.from_iterable(region.stops for region in world.regions):
            self.stops.setdefault(stop.link, []).append(stop.t)
        towns = [(town.lat, town.lon, town.sigma_km) for town in world.towns]
        self.places = Places(*np.array(towns).reshape(-1, 3).T)
        self.joints: list[tuple[IntArray, FloatArray, IntArray]] = []  # of links with streets: link, t, node

    def write(self) -> None:
        for town in self.world.towns:  # so the middle of town k is node k + 1
            size = "city" if town.stations >= 200 else "town" if town.stations >= 20 else "village"
            self.add_node(town.lat, town.lon, {"place": size, "name": town.name})
        boxes = _Boxes.of(self.world)
        for region in self.world.regions:
            self.add_streets(region, boxes)
        if self.world.links:
            self.add_links()
        if self.world.towns:
            self.add_border()

    def add_node(self, lat: float, lon: float, tags: dict[str, str] | None = None) -> int:
        self.node_id += 1
        self.nodes.add_node(Node(id=self.node_id, location=(lon, lat), tags=tags or {}))
        return self.node_id

    def add_way(self, nodes: list[int], tags: dict[str, str]) -> None:
        self.way_id += 1
        self.ways.add_way(Way(id=self.way_id, nodes=nodes, tags=tags))

    def course(self, index: int) -> list[Point]:
        """With a point at every stop, since stations stand beside it, and where towns end."""
        link = self.world.links[index]
        n = max(1, round(link.length_km / _COURSE_STEP_KM))
        ends = (t for t in self.built_up_to(link) if 0 < t < 1)
        at = sorted({*(k / n for k in range(n + 1)), *self.stops.get(index, ()), *ends})
        return [Point(t, *self.world.point_on(link, t)) for t in at]

    def built_up_to(self, link: Link) -> tuple[float, float]:
        """Where the town it begins in ends, and where that it ends in begins."""
        a, b = (_BUILT_UP * self.world.towns[k].sigma_km / link.length_km for k in (link.a, link.b))
        return round(a, 6), round(1 - b, 6)

    def towards(self, link: Link, one: float, other: float) -> int | None:
        """The town that a piece of it leads to if that is a street of the other."""
        left, arrived = self.built_up_to(link)
        middle = (one + other) / 2
        return link.b if middle < left else link.a if middle > arrived else None

    def add_streets(self, region: Region, boxes: _Boxes) -> None:
        """Also the main streets: two a town, at right angles through its middle. They are lines -1, -2… here."""
        raster = raster_of(self.places, region)
        roads = {index: self.course(index) for index in boxes.touching(raster)}
        mains = {-1 - k: main for k, main in enumerate(self.main_streets(region))}
        roads |= {line: points for line, (_, points) in mains.items()}
        streets = lay_streets(self.world, self.places, region, raster, self.lines(roads))
        self.km += streets.km
        first = self.node_id + 1
        for lat, lon in zip(streets.lat.tolist(), streets.lon.tolist(), strict=True):
            self.add_node(lat, lon)
        for nodes, kind, town, name in zip(streets.nodes, streets.kind, streets.town, streets.name, strict=True):
            called = f"{self.world.towns[town].name} Ring" if kind == RING else STREETS[name % len(STREETS)]
            self.add_way([first + node for node in nodes], {**_STREET_TAGS[kind], "name": called})
        of_link = streets.joint_line >= 0
        self.joints.append((streets.joint_line[of_link], streets.joint_t[of_link], first + streets.joint_node[of_link]))
        self.add_main_streets(mains, streets, first)

    def lines(self, roads: dict[int, list[Point]]) -> Lines:
        pieces = []
        for line, course in roads.items():
            link = self.world.links[line] if line >= 0 else None
            for one, other in itertools.pairwise(course):
                passing = link is not None and link.motorway and self.towards(link, one.t, other.t) is None
                pieces.append((line, passing, *one, *other))
        number, passes, t0, lat0, lon0, t1, lat1, lon1 = np.array(pieces).reshape(-1, 8).T
        ends = (np.stack(pair) for pair in ((lat0, lat1), (lon0, lon1), (t0, t1)))
        return Lines(number.astype(np.int64), passes > 0, *ends)

    def main_streets(self, region: Region) -> Iterator[tuple[int, list[Point]]]:
        """Town, and a course from end to end with t from 0 to 1."""
        for k in region.towns:
            town = self.world.towns[k]
            half = max(_MAIN_KM[0], _MAIN_KM[1] * town.sigma_km) / KM_PER_DEGREE
            turn = town.postal_base / 90_000  # any number from 0 to 1 will do; cosine and sine without their last bits
            c, s = (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)
            for y, x in ((c, s), (-s, c)):
                points = [
                    Point(t, round(town.lat + y * far, 7), round(town.lon + x * far / lon_scale(town.lat), 7))
                    for t, far in ((0.0, -half), (0.5, 0.0), (1.0, half))
                ]
                yield k, points

    def add_main_streets(self, mains: dict[int, tuple[int, list[Point]]], streets: Streets, first: int) -> None:
        joints: dict[int, list[tuple[float, int]]] = {line: [] for line in mains}
        for line, t, node in zip(
            streets.joint_line.tolist(), streets.joint_t.tolist(), streets.joint_node.tolist(), strict=True
        ):
            if line < 0:
                joints[line].append((t, first + node))
        for line, (town, points) in mains.items():
            begin, middle, end = points
            self.km += 2 * max(_MAIN_KM[0], _MAIN_KM[1] * self.world.towns[town].sigma_km)
            ends = [(0.0, self.add_node(begin.lat, begin.lon)), (1.0, self.add_node(end.lat, end.lon))]
            nodes = [node for _, node in threaded([*ends, *joints[line], (middle.t, town + 1)])]
            name = "Hauptstraße" if line % 2 else "Bahnhofstraße"
            self.add_way(nodes, {"highway": "secondary", "maxspeed": "50", "name": name})

    def add_links(self) -> None:
        line, t, node = (np.concatenate(parts) for parts in zip(*self.joints, strict=True))
        order = np.lexsort((node, t, line))
        starts = np.searchsorted(line[order], np.arange(len(self.world.links) + 1)).tolist()
        for index, link in enumerate(self.world.links):
            here = order[starts[index] : starts[index + 1]]
            joints = list(zip(t[here].tolist(), node[here].tolist(), strict=True))
            course = self.course(index)
            inner = [(point.t, self.add_node(point.lat, point.lon)) for point in course[1:-1]]
            self.km += link.length_km
            pieces = list(itertools.pairwise(threaded([(0.0, link.a + 1), *joints, *inner, (1.0, link.b + 1)])))
            towards = [self.towards(link, one[0], other[0]) for one, other in pieces]
            for town, part in itertools.groupby(zip(towards, pieces, strict=True), lambda entry: entry[0]):
                ends = [(one[1], other[1]) for _, (one, other) in part]
                self.add_way([ends[0][0], *(other for _, other in ends)], self.link_tags(index, town))

    def link_tags(self, index: int, towards: int | None) -> dict[str, str]:
        link, number = self.world.links[index], index % _REFS + 1
        primary = link.motorway or link.length_km >= _PRIMARY_KM
        if towards is not None:
            name = _LINK_NAMES[index % len(_LINK_NAMES)].format(self.world.towns[towards].name)
            speed = "70" if link.motorway else "50"
            return {"highway": "primary" if primary else "secondary", "maxspeed": speed, "name": name}
        if link.motorway:
            return {"highway": "motorway", "maxspeed": "130", "oneway": "no", "ref": f"A {number}"}
        kind, letter = ("primary", "B") if primary else ("secondary", "L")
        return {"highway": kind, "maxspeed": "100", "ref": f"{letter} {number}"}

    def add_border(self) -> None:
        south, north = float(self.places.lat.min()) - _BORDER_DEG, float(self.places.lat.max()) + _BORDER_DEG
        west, east = float(self.places.lon.min()) - _BORDER_DEG, float(self.places.lon.max()) + _BORDER_DEG
        corners = [(south, west), (south, east), (north, east), (north, west)]
        nodes = [self.add_node(round(lat, 7), round(lon, 7)) for lat, lon in corners]
        self.add_way([*nodes, nodes[0]], {"boundary": "administrative", "admin_level": "2"})


class _Boxes(NamedTuple):
    """What each link's course certainly lies in."""

    south: FloatArray
    west: FloatArray
    north: FloatArray
    east: FloatArray

    @classmethod
    def of(cls, world: World) -> _Boxes:
        ends = np.array([world.towns[k][1:3] for link in world.links for k in (link.a, link.b)]).reshape(-1, 2, 2)
        margin = np.array([link.length_km for link in world.links]).reshape(-1, 1) * (_ASIDE / KM_PER_DEGREE)
        (south, west), (north, east) = (ends.min(axis=1) - margin).T, (ends.max(axis=1) + margin).T
        return cls(south, west, north, east)

    def touching(self, raster: Raster) -> list[int]:
        north, east = raster.south + raster.rows * raster.d_lat, raster.west + raster.columns * raster.d_lon
        meet = (self.south < north) & (self.north > raster.south) & (self.west < east) & (self.east > raster.west)
        return np.flatnonzero(meet).tolist()


def threaded(points: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Places along a road and nodes, in order; a road that crosses a street twice in one spot has its node once."""
    points.sort()
    return [points[0], *(other for one, other in itertools.pairwise(points) if one[1] != other[1])]


def _country(world: World, border: int) -> Relation:
    tags = {
        "type": "boundary", "boundary": "administrative", "admin_level": "2", "name": COUNTRY,
        "ISO3166-1:alpha2": world.regions[0].country,
    }  # fmt: skip
    return Relation(id=1, members=[("w", border, "outer")], tags=tags)
