"""A line on the earth, and what stands beside it: how far along the line, and how far from it.

Segments are great circles, however long, and all is reckoned with unit vectors: there is no seam at the antimeridian and none
at the poles, and no projection is flat. For a segment from a to b, m = a × b, and a position p:

    between the ends    where p · (m × a) >= 0 and p · (b × m) >= 0
    distance            asin(|p · m| / |m|) there (cross-track distance), else to the nearer end
    from a              atan2(p · (m × a) / |m|, p · a) there (along-track distance), else nothing or all of the segment

(K. Gade, A Non-singular Horizontal Position Representation, Journal of Navigation 63, 2010, and his n-vector page, example 10;
E. Williams, Aviation Formulary.) As m · a = 0, p - a stands for p, and b - a for b: a metre between neighbours is not lost in
numbers near 1.

**Search.** Boxes in space hold LEAF segments in succession, further boxes two of them each, up to one that holds all. The
nearer of two is looked into first, and no box that is further than the nearest segment so far.

**Promises** (tests/geo/test_corridor.py, against a dense sampling of the line):
  C1  what is within the distance is found, once, and nothing else;
  C2  its distance is the least one to any point of the line, up to TIE_M;
  C3  its offset is that of the first point so near, where the line passes more than once at the same distance up to TIE_M.

200,000 vertices over 1,500 km and 20,000 candidates take 20 to 65 ms in all, 16 of them for the line.
What a line passes a hundred times costs a hundred times as much (0.2 ms a candidate): whoever takes lines limits their length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import asin, atan2, inf, pi, sin, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.point import EARTH_RADIUS_M, Floats, LatLon, unit_vectors

LEAF = 4  # segments to a box: with 8 a search takes a quarter longer
TIE_M = 1e-3  # far more than rounding makes of two passes over one road, far less than a position is exact to
SAME_M = 1e-4  # vertices nearer to the one before are dropped: between them no direction is certain
MOST_M = pi * EARTH_RADIUS_M - 10.0  # from vertex to vertex: so near to the antipode all ways are the shortest
BEGIN, BETWEEN, END = range(3)
_DEPTH = 64  # boxes that wait in a search; a tree of 2^31 segments needs half of it

Index = NDArray[np.int64]
Waiting = tuple[Index, Floats]  # nodes of the tree, and squared chords to their boxes
Tied = tuple[Index, Floats]  # segments that were nearest when they were met, and squared chords to them


class LineError(ValueError):
    """No line; the message says why."""


@dataclass(frozen=True)
class Beside:
    """What stands beside a line, in the order of the line."""

    index: Index  # among what was asked about
    offset_m: Floats  # along the line to the point of it that is nearest, the first such point
    distance_m: Floats  # to that point


class Line:
    """Great circles from vertex to vertex; not to be changed.

    Invariants: two vertices at least; neighbours are further apart than SAME_M, and not opposite each other; `offsets_m` rises
    from 0 to `length_m`."""

    def __init__(self, lat: Floats, lon: Floats) -> None:
        """Raises LineError."""
        lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
        if lat.ndim != 1 or lat.shape != lon.shape:
            raise LineError("latitudes and longitudes must be two lists of one length")
        # Asked this way round NaN fails too.
        if not (np.all(np.abs(lat) <= 90.0) and np.all(np.abs(lon) <= 180.0)):
            raise LineError("latitudes must be from -90 to 90, longitudes from -180 to 180")
        xyz = unit_vectors(lat, lon)
        distinct = _distinct(xyz, SAME_M / EARTH_RADIUS_M)
        if np.count_nonzero(distinct) < 2:
            raise LineError("a line must have two different positions at least")
        self.lat, self.lon, self.xyz = lat[distinct], lon[distinct], xyz[distinct]
        self.offsets_m: Floats = _offsets_m(self.xyz)
        if np.any(np.diff(self.offsets_m) > MOST_M):
            raise LineError("two positions opposite each other have no one way between them")

    @property
    def length_m(self) -> float:
        return float(self.offsets_m[-1])

    def at(self, offset_m: float) -> LatLon:
        """The position so far along; before the beginning that of the beginning, beyond the end that of the end."""
        lat, lon = self.positions(np.array([offset_m]))
        return LatLon(float(lat[0]), float(lon[0]))

    def positions(self, offsets_m: Floats) -> tuple[Floats, Floats]:
        """Likewise, latitudes and longitudes of many."""
        along_m = np.clip(offsets_m, 0.0, self.length_m)
        before = np.minimum(np.searchsorted(self.offsets_m, along_m, "right") - 1, len(self.lat) - 2)
        a, angle = self.xyz[before], ((along_m - self.offsets_m[before]) / EARTH_RADIUS_M)[:, None]
        ahead = self.xyz[before + 1] - a
        ahead -= np.sum(ahead * a, axis=1, keepdims=True) * a
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
        x, y, z = (a * np.cos(angle) + ahead * np.sin(angle)).T
        return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))

    @cached_property
    def tree(self) -> Floats:
        """The boxes of the search, shape (n, 6): 1 is the root, i holds 2i and 2i + 1, the last half are the leaves."""
        leaves = 1
        while leaves * LEAF < len(self.xyz) - 1:
            leaves *= 2
        boxes: Floats = _tree(self.xyz, leaves)
        return boxes


def beside(line: Line, lat: Floats, lon: Floats, max_distance_m: float) -> Beside:
    """The positions (degrees) within `max_distance_m` of the line; those at one offset from near to far, then as they came."""
    return beside_vectors(line, unit_vectors(lat, lon), max_distance_m)


def beside_vectors(line: Line, xyz: Floats, max_distance_m: float) -> Beside:
    """Likewise, of unit vectors, shape (n, 3)."""
    offset_m, distance_m = _beside(line.xyz, line.offsets_m, line.tree, xyz, float(max_distance_m))
    index = np.flatnonzero(distance_m < inf)
    index = index[np.lexsort((distance_m[index], offset_m[index]))]
    return Beside(index, offset_m[index], distance_m[index])


# -- compiled ---------------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _distinct(xyz: Floats, least: float) -> NDArray[np.bool_]:
    """Those further than `least` from the last that is."""
    found = np.ones(len(xyz), np.bool_)
    last = 0
    for i in range(1, len(xyz)):
        found[i] = _to_point2(xyz, last, xyz[i, 0], xyz[i, 1], xyz[i, 2]) > least * least
        if found[i]:
            last = i
    return found


@njit(cache=True)
def _offsets_m(xyz: Floats) -> Floats:
    offsets_m = np.zeros(len(xyz))
    for i in range(1, len(xyz)):
        half = 0.5 * sqrt(_to_point2(xyz, i - 1, xyz[i, 0], xyz[i, 1], xyz[i, 2]))
        offsets_m[i] = offsets_m[i - 1] + 2.0 * EARTH_RADIUS_M * asin(min(1.0, half))
    return offsets_m


@njit(cache=True)
def _tree(xyz: Floats, leaves: int) -> Floats:
    """Boxes (least x, y, z, then most), those of leaves without segments inside out, so that they are nowhere near.

    A great circle rises over its chord c by at most 1 - cos(angle / 2) = 1 - sqrt(1 - c² / 4): so much is added all around."""
    boxes = np.empty((2 * leaves, 6))
    boxes[:, :3], boxes[:, 3:] = inf, -inf
    for leaf in range(leaves):
        box, longest2 = boxes[leaves + leaf], 0.0
        first, last = leaf * LEAF, min(len(xyz) - 1, (leaf + 1) * LEAF)
        for i in range(first, last + 1 if first < last else first):
            for axis in range(3):
                box[axis], box[3 + axis] = min(box[axis], xyz[i, axis]), max(box[3 + axis], xyz[i, axis])
            if i > first:
                longest2 = max(longest2, _to_point2(xyz, i - 1, xyz[i, 0], xyz[i, 1], xyz[i, 2]))
        rise = longest2 / 4 / (1 + sqrt(max(0.0, 1 - longest2 / 4)))
        box[:3] -= rise
        box[3:] += rise
    for node in range(leaves - 1, 0, -1):
        for axis in range(3):
            boxes[node, axis] = min(boxes[2 * node, axis], boxes[2 * node + 1, axis])
            boxes[node, 3 + axis] = max(boxes[2 * node, 3 + axis], boxes[2 * node + 1, 3 + axis])
    return boxes


@njit(cache=True)
def _to_box2(boxes: Floats, node: int, x: float, y: float, z: float) -> float:
    """Squared distance through space, 0 inside."""
    dx = max(boxes[node, 0] - x, x - boxes[node, 3], 0.0)
    dy = max(boxes[node, 1] - y, y - boxes[node, 4], 0.0)
    dz = max(boxes[node, 2] - z, z - boxes[node, 5], 0.0)
    return float(dx * dx + dy * dy + dz * dz)


@njit(cache=True)
def _to_point2(xyz: Floats, i: int, x: float, y: float, z: float) -> float:
    dx, dy, dz = x - xyz[i, 0], y - xyz[i, 1], z - xyz[i, 2]
    return float(dx * dx + dy * dy + dz * dz)


@njit(cache=True)
def _to_segment(xyz: Floats, i: int, x: float, y: float, z: float) -> tuple[float, int]:
    """Squared chord to the nearest point of segment i, and which that is: BEGIN, BETWEEN or END."""
    ax, ay, az = xyz[i, 0], xyz[i, 1], xyz[i, 2]
    bx, by, bz = xyz[i + 1, 0], xyz[i + 1, 1], xyz[i + 1, 2]
    ux, uy, uz = bx - ax, by - ay, bz - az
    mx, my, mz = ay * uz - az * uy, az * ux - ax * uz, ax * uy - ay * ux
    px, py, pz, qx, qy, qz = x - ax, y - ay, z - az, x - bx, y - by, z - bz
    ahead = px * (my * az - mz * ay) + py * (mz * ax - mx * az) + pz * (mx * ay - my * ax)
    to_go = qx * (by * mz - bz * my) + qy * (bz * mx - bx * mz) + qz * (bx * my - by * mx)
    if ahead >= 0.0 and to_go >= 0.0:
        across = px * mx + py * my + pz * mz
        sine2 = min(1.0, across * across / (mx * mx + my * my + mz * mz))
        return 2.0 * sine2 / (1.0 + sqrt(1.0 - sine2)), BETWEEN
    from_a2, from_b2 = px * px + py * py + pz * pz, qx * qx + qy * qy + qz * qz
    return (from_a2, BEGIN) if from_a2 <= from_b2 else (from_b2, END)


@njit(cache=True)
def _angle(xyz: Floats, i: int, x: float, y: float, z: float) -> float:
    """From the beginning of segment i to the nearest point, which is BETWEEN."""
    ax, ay, az = xyz[i, 0], xyz[i, 1], xyz[i, 2]
    ux, uy, uz = xyz[i + 1, 0] - ax, xyz[i + 1, 1] - ay, xyz[i + 1, 2] - az
    mx, my, mz = ay * uz - az * uy, az * ux - ax * uz, ax * uy - ay * ux
    ahead = (x - ax) * (my * az - mz * ay) + (y - ay) * (mz * ax - mx * az) + (z - az) * (mx * ay - my * ax)
    return atan2(ahead / sqrt(mx * mx + my * my + mz * mz), ax * x + ay * y + az * z)


@njit(cache=True)
def _first_nearest(
    xyz: Floats, boxes: Floats, x: float, y: float, z: float, most2: float, waiting: Waiting, tied: Tied
) -> int:
    """The first segment that is as near as any (TIE_M) and within a squared chord of `most2`; -1 if none is."""
    nodes, bounds = waiting
    segments, chord2s = tied
    leaves, count, rest, least2, reach2 = len(boxes) // 2, 0, 1, most2, most2
    nodes[0], bounds[0] = 1, _to_box2(boxes, 1, x, y, z)
    while rest > 0:
        rest -= 1
        node, bound = nodes[rest], bounds[rest]
        while bound <= reach2 and node < leaves:
            node *= 2
            bound, other = _to_box2(boxes, node, x, y, z), _to_box2(boxes, node + 1, x, y, z)
            nodes[rest], bounds[rest] = node + 1, other
            if other < bound:
                nodes[rest], bounds[rest] = node, bound
                node, bound = node + 1, other
            if bounds[rest] <= reach2:
                rest += 1
        if bound > reach2:
            continue
        for i in range((node - leaves) * LEAF, min(len(xyz) - 1, (node - leaves + 1) * LEAF)):
            chord2, _ = _to_segment(xyz, i, x, y, z)
            if chord2 > reach2:
                continue
            if chord2 < least2:
                least2, reach2 = chord2, min(most2, (sqrt(chord2) + TIE_M / EARTH_RADIUS_M) ** 2)
            segments[count], chord2s[count] = i, chord2
            count += 1
    first = -1
    for j in range(count):
        if chord2s[j] <= reach2 and (first < 0 or segments[j] < first):
            first = segments[j]
    return first


@njit(cache=True, nogil=True)  # so a thread can do it for a line that goes round and round
def _beside(
    xyz: Floats, offsets_m: Floats, boxes: Floats, places: Floats, max_distance_m: float
) -> tuple[Floats, Floats]:
    """Offsets and distances of all `places`; inf of what is further than `max_distance_m`."""
    offset_m, distance_m = np.full(len(places), inf), np.full(len(places), inf)
    half = max_distance_m / (2.0 * EARTH_RADIUS_M)
    most2 = 4.0 if half >= pi / 2 else (2.0 * sin(half)) ** 2
    waiting = (np.empty(_DEPTH, np.int64), np.empty(_DEPTH))
    tied = (np.empty(len(xyz), np.int64), np.empty(len(xyz)))
    for k in range(len(places)):
        x, y, z = places[k, 0], places[k, 1], places[k, 2]
        i = _first_nearest(xyz, boxes, x, y, z, most2, waiting, tied)
        if i < 0:
            continue
        chord2, nearest = _to_segment(xyz, i, x, y, z)
        while nearest == END and i + 2 < len(xyz):  # the next one begins there, and may go nearer
            i += 1
            chord2, nearest = _to_segment(xyz, i, x, y, z)
        offset_m[k] = offsets_m[i + 1] if nearest == END else offsets_m[i]
        if nearest == BETWEEN:
            offset_m[k] = min(offsets_m[i] + _angle(xyz, i, x, y, z) * EARTH_RADIUS_M, offsets_m[i + 1])
        distance_m[k] = 2.0 * EARTH_RADIUS_M * asin(min(1.0, 0.5 * sqrt(chord2)))
    return offset_m, distance_m
