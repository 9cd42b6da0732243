"""The stations along a line: boxes around it for a shortlist, metres for the rest (geo.corridor).

The line is cut into stretches of one length, and each gets a box. A stretch is known by samples: its vertices and some
positions more, none further than `gap` along the line from the next one. So what is within d of the line is within d + gap / 2
of a sample, in the circle of that radius around it; a stretch's box holds the circles of all its samples.

A shortlist takes 8 ms for a line of 200,000 vertices and 1 ms for one of two. In a corridor of 5 km it is twice as long as what
is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from geo.columns import Rows
from geo.corridor import Line, beside_vectors
from geo.point import EARTH_RADIUS_M, Box, Floats
from geo.spatial import TILE_ZOOM
from geo.tilemath import Ints, tile_keys, world_position
from geo.world import World

MAX_BOXES = 200
LEAST_STRETCH_M = 1_000.0  # shorter ones only make boxes many, and so do those shorter than the distance
SAMPLES = 16  # to a stretch at least: a box reaches further than it must by at most a 32nd of it
SLACK_DEG = 1e-6  # 0.1 m, for rounding
SIDE = 4  # tiles along a box, or one more


@dataclass(frozen=True)
class RowsBeside:
    """Stations in the order of the line; those at one offset from near to far, then by num."""

    rows: Rows
    offset_m: Floats  # as in geo.corridor.Beside
    distance_m: Floats


def boxes(line: Line, max_distance_m: float) -> list[Box]:
    """At most MAX_BOXES, in the order of the line, that hold everything within `max_distance_m` of it. Around a pole a box
    holds all longitudes."""
    count = min(MAX_BOXES, ceil(line.length_m / max(max_distance_m, LEAST_STRETCH_M)))
    more_m = np.linspace(0.0, line.length_m, count * SAMPLES + 1)
    places = np.searchsorted(line.offsets_m, more_m)
    gap_m = np.max(np.diff(np.insert(line.offsets_m, places, more_m)))
    lat, lon = (
        np.insert(vertices, places, more)
        for vertices, more in zip((line.lat, line.lon), line.positions(more_m), strict=True)
    )
    begins = (places + np.arange(len(places)))[:-1:SAMPLES]

    reach_deg = np.degrees((max_distance_m + gap_m / 2) / EARTH_RADIUS_M) + SLACK_DEG
    # The meridian that a circle of angular radius d about latitude phi just touches is asin(sin d / cos phi) away.
    touches = np.abs(lat) + reach_deg < 90.0  # else a pole is inside
    shrink = np.cos(np.radians(np.where(touches, lat, 0.0)))
    width = np.degrees(np.arcsin(np.minimum(1.0, np.sin(np.radians(reach_deg)) / shrink))) + SLACK_DEG
    width[~touches] = 360.0
    middle = lon[begins]  # of each stretch; longitudes are taken from there, the shorter way
    away = (lon - np.repeat(middle, np.diff(begins, append=len(lon))) + 180.0) % 360.0 - 180.0
    west, east = np.minimum.reduceat(away - width, begins), np.maximum.reduceat(away + width, begins)
    south, north = np.minimum.reduceat(lat, begins) - reach_deg, np.maximum.reduceat(lat, begins) + reach_deg
    sides = zip(middle + west, np.maximum(south, -90.0), middle + east, np.minimum(north, 90.0), strict=True)
    return [_box(*(float(side) for side in four)) for four in sides]


def rows_about(world: World, line: Line, max_distance_m: float) -> Rows:
    """All stations within `max_distance_m` of the line, and others near it."""
    return world.spatial.tiles.between(*_tile_keys(boxes(line, max_distance_m)))


def rows_beside(world: World, line: Line, max_distance_m: float) -> RowsBeside:
    """The stations within `max_distance_m` of the line."""
    rows = rows_about(world, line, max_distance_m)
    found = beside_vectors(line, world.stations.xyz[rows], max_distance_m)
    rows = rows[found.index]
    order = np.lexsort((world.stations.num[rows], found.distance_m, found.offset_m))
    return RowsBeside(rows[order], found.offset_m[order], found.distance_m[order])


def _box(west: float, south: float, east: float, north: float) -> Box:
    """Longitudes may be any that say where it begins and ends, from west to east."""
    if east - west >= 360.0:
        return Box(-180.0, south, 180.0, north)
    return Box((west + 180.0) % 360.0 - 180.0, south, (east + 180.0) % 360.0 - 180.0, north)


def _tile_keys(boxes: list[Box]) -> tuple[Ints, Ints]:
    """The tiles that boxes touch, as ranges of keys of TILE_ZOOM: rising, and none overlaps another.

    Each box is covered by tiles about a quarter of its size. Columns are counted on from its west, and beyond the antimeridian
    they begin anew."""
    west, south, east, north = np.array(boxes).T
    left = (west + 180.0) / 360.0
    right = left + (east - west + np.where(east < west, 360.0, 0.0)) / 360.0
    _, edges = world_position(np.stack((north, south)), np.zeros((2, len(boxes))))
    top, bottom = edges
    zoom = np.minimum(np.floor(np.log2(SIDE / np.maximum(right - left, bottom - top))), TILE_ZOOM).astype(np.int64)
    deeper, steps = (TILE_ZOOM - zoom)[:, None, None], np.arange(SIDE + 1)
    (first_x, last_x), (first_y, last_y) = (
        (np.floor(side * np.exp2(zoom)).astype(np.int64)[:, None, None] for side in ends)
        for ends in ((left, right), (top, bottom))
    )
    x, y = first_x + steps[None, None, :], first_y + steps[None, :, None]
    touched = (x <= last_x) & (y <= last_y)
    low = tile_keys(TILE_ZOOM, (x << deeper) & (1 << TILE_ZOOM) - 1, y << deeper)[touched]
    high = low + np.broadcast_to(1 << 2 * deeper, touched.shape)[touched]
    return _union(low, high)


def _union(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Ranges [low_i, high_i) put together where they meet or overlap."""
    order = np.argsort(low)
    low, covered = low[order], np.maximum.accumulate(high[order])
    begins = np.flatnonzero(np.append(True, low[1:] > covered[:-1]))
    return low[begins], covered[np.append(begins[1:], len(low)) - 1]
