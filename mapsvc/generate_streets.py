"""The streets of the synthetic towns: a grid over each region, laid wherever stations stand close enough.

A region has one raster of points. A point belongs to the town it is nearest to in multiples of that town's spread
(`sigma_km`), whatever region that is of, so towns that have grown into each other share their streets. Streets run east
along every row; fewer run north, the wider apart the further out. Since a row is never further than half a step, that is
enough for any station to be near a street.

Links and main streets cross the grid at any angle. Where they do, both get the same node (a junction), save for
motorways: outside their towns they join through streets and ring roads, so have an exit or two at each town they pass, and
pass over all else. Streets that no such road leads to are left out, so all is connected.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapsvc.generate_plan import FloatArray, IntArray, Region, World
from mapsvc.generate_roads import KM_PER_DEGREE, lon_scale

STEP_KM = 0.6  # between two rows: no place among them is further than 300 m from one
_REACH = 4.2  # sigmas from the middle: 2 % of a town's stations stand further out
_CORE = 1.5  # sigmas: within, every second column is a street, beyond it every fourth
_RING = 1.5  # sigmas from the middle to the nearest points of the ring road
_RING_STATIONS = 40  # a town of as many has a ring road
_SPOTS = 50  # a step has room for junctions every 12 m, not at its ends: roads that cross nearer share one
STREET, THROUGH, RING = 1, 2, 3  # kinds of streets; every fourth row or column is a through street


class Places(NamedTuple):
    """All towns of the world as columns."""

    lat: FloatArray
    lon: FloatArray
    sigma_km: FloatArray


class Raster(NamedTuple):
    """Row 0, column 0 is the south-western corner."""

    south: float
    west: float
    d_lat: float
    d_lon: float
    rows: int
    columns: int

    def row(self, lat: FloatArray) -> FloatArray:
        return (lat - self.south) / self.d_lat

    def column(self, lon: FloatArray) -> FloatArray:
        return (lon - self.west) / self.d_lon


class Lines(NamedTuple):
    """The roads that cross the streets, as straight pieces from one point to the next."""

    line: IntArray  # the caller's number of the road
    passing: NDArray[np.bool_]  # joins through streets and ring roads only
    lat: FloatArray  # [2, n]: from, to
    lon: FloatArray
    t: FloatArray  # how far along the road each end is


class Streets(NamedTuple):
    lat: FloatArray  # of the nodes
    lon: FloatArray
    nodes: list[list[int]]  # of each street, counted from 0
    kind: list[int]
    town: list[int]
    name: list[int]  # a number to choose the name by: equal along a row or column of one town
    km: float
    joint_line: IntArray  # road, place along it and node of each junction
    joint_t: FloatArray
    joint_node: IntArray


def raster_of(places: Places, region: Region) -> Raster:
    """Large enough for all streets of the region's towns."""
    own = slice(region.towns.start, region.towns.stop)
    d_lat = STEP_KM / KM_PER_DEGREE
    d_lon = d_lat / lon_scale(region.lat)
    reach = places.sigma_km[own] * (_REACH / STEP_KM) + 1
    south, west = (places.lat[own] - reach * d_lat).min(), (places.lon[own] - reach * d_lon).min()
    north, east = (places.lat[own] + reach * d_lat).max(), (places.lon[own] + reach * d_lon).max()
    rows, columns = math.ceil((north - south) / d_lat), math.ceil((east - west) / d_lon)
    return Raster(round(float(south), 7), round(float(west), 7), d_lat, d_lon, rows + 1, columns + 1)


def lay_streets(world: World, places: Places, region: Region, raster: Raster, lines: Lines) -> Streets:
    square, owner = _nearest(places, raster)
    inside = (square <= _REACH**2) & (owner >= region.towns.start) & (owner < region.towns.stop)
    east, north = _edges(inside, square)
    _add_rings(world, places, region, raster, inside, east, north)
    east_label, north_label = _labels(east, owner), _labels(north.T, owner.T).T
    norths = int(east_label.max(initial=-1)) + 1  # the first label of a street that runs north
    north_label[north_label >= 0] += norths

    joints = _cross(lines, raster, (east_label, east), (north_label, north))
    kept = _reached(east_label, north_label, joints.label)
    for label in (east_label, north_label):
        label[~kept[label]] = -1
    lat, lon, nodes, joint_node = _string(raster, east_label, north_label, norths, joints)

    row, column = np.indices(owner.shape)
    which = np.concatenate([east_label[east_label >= 0], north_label[north_label >= 0]])
    _, begin = np.unique(which, return_index=True)  # an edge of each street, in the order of `nodes`
    kind, town, name = (
        np.concatenate([of_east[east_label >= 0], of_north[north_label >= 0]])[begin].tolist()
        for of_east, of_north in ((east, north), (owner, owner), (2 * row + owner, 2 * column + 1 + owner))
    )
    return Streets(lat, lon, nodes, kind, town, name, len(which) * STEP_KM, joints.line, joints.t, joint_node)


def _nearest(places: Places, raster: Raster) -> tuple[FloatArray, IntArray]:
    """For each point the square of its distance to the nearest town within reach, in sigmas, and that town or -1."""
    square = np.full((raster.rows, raster.columns), np.inf)
    owner = np.full(square.shape, -1, np.int64)
    v, u, sigma = raster.row(places.lat), raster.column(places.lon), places.sigma_km / STEP_KM
    reach = _REACH * sigma
    near = (v > -reach) & (v < raster.rows + reach) & (u > -reach) & (u < raster.columns + reach)
    for k in np.flatnonzero(near).tolist():
        rows, columns = (
            np.arange(max(0, math.ceil(middle - reach[k])), min(size, math.floor(middle + reach[k]) + 1))
            for middle, size in ((v[k], raster.rows), (u[k], raster.columns))
        )
        if not len(rows) or not len(columns):
            continue
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        apart = (((rows - v[k]) ** 2)[:, None] + ((columns - u[k]) ** 2)[None, :]) / (sigma[k] * sigma[k])
        nearer = apart < square[window]
        square[window][nearer] = apart[nearer]
        owner[window][nearer] = k
    return square, owner


def _edges(inside: NDArray[np.bool_], square: FloatArray) -> tuple[IntArray, IntArray]:
    """The kind of street that leads east and north from each point, 0 for none."""
    row, column = np.indices(inside.shape)
    core = inside & (square <= _CORE**2)
    crossed = (inside & (column % 4 == 0)) | (core & (column % 2 == 0))
    east, north = np.zeros(inside.shape, np.int64), np.zeros(inside.shape, np.int64)
    east[:, :-1] = np.where(row % 4 == 0, THROUGH, STREET)[:, :-1] * (inside[:, :-1] & inside[:, 1:])
    north[:-1] = np.where(column % 4 == 0, THROUGH, STREET)[:-1] * (crossed[:-1] & crossed[1:])
    return east, north


def _add_rings(
    world: World, places: Places, region: Region, raster: Raster,
    inside: NDArray[np.bool_], east: IntArray, north: IntArray,
) -> None:  # fmt: skip
    for k in region.towns:
        if world.towns[k].stations < _RING_STATIONS:
            continue
        half = round(_RING * world.towns[k].sigma_km / STEP_KM)
        row, column = round(float(raster.row(places.lat[k]))), round(float(raster.column(places.lon[k])))
        for side in (-half, half):
            part = slice(column - half, column + half), slice(column - half + 1, column + half + 1)
            east[row + side, part[0]][inside[row + side, part[0]] & inside[row + side, part[1]]] = RING
            part = slice(row - half, row + half), slice(row - half + 1, row + half + 1)
            north[part[0], column + side][inside[part[0], column + side] & inside[part[1], column + side]] = RING


def _labels(kind: IntArray, owner: IntArray) -> IntArray:
    """Numbers the streets: edges in a row that follow one another, of one kind and in one town. -1 where there is none."""
    mark = np.where(kind > 0, (owner + 1) * 4 + kind, 0)
    begins = (mark > 0) & (mark != np.roll(mark, 1, axis=1))
    begins[:, 0] = mark[:, 0] > 0
    return np.where(mark > 0, np.cumsum(begins).reshape(mark.shape) - 1, -1)


def _around(east_label: IntArray, north_label: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The streets that lead west, east, south and north from each point. The last edges east and north are none."""
    return np.roll(east_label, 1, axis=1), east_label, np.roll(north_label, 1, axis=0), north_label


class _Joints(NamedTuple):
    """Where a road crosses a street; several may do so in one spot."""

    line: IntArray
    t: FloatArray
    label: IntArray
    row: FloatArray
    column: FloatArray


def _cross(
    lines: Lines, raster: Raster, eastward: tuple[IntArray, IntArray], northward: tuple[IntArray, IntArray]
) -> _Joints:
    """Both as labels and kinds."""
    u, v = raster.column(lines.lon), raster.row(lines.lat)
    a, b = _cross_rows(lines, v, u, *eastward), _cross_rows(lines, u, v, *(of.T for of in northward))
    b = b._replace(row=b.column, column=b.row)
    return _Joints(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in _Joints._fields))


def _cross_rows(lines: Lines, v: FloatArray, u: FloatArray, label: IntArray, kind: IntArray) -> _Joints:
    """Half-open: a road with a point on a row crosses it there once, one that only touches it not at all or twice."""
    low, high = (np.clip(np.ceil(end), 0, len(label)).astype(np.int64) for end in (v.min(axis=0), v.max(axis=0)))
    count = high - low
    piece = np.repeat(np.arange(len(count)), count)
    row = low[piece] + (np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count))
    share = (row - v[0, piece]) / (v[1, piece] - v[0, piece])
    t = lines.t[0, piece] + share * (lines.t[1, piece] - lines.t[0, piece])
    at = u[0, piece] + share * (u[1, piece] - u[0, piece])
    edge = np.clip(np.floor(at).astype(np.int64), 0, label.shape[1] - 1)
    street = label[row, edge]
    found = (at >= 0) & (street >= 0) & (~lines.passing[piece] | (kind[row, edge] >= THROUGH))
    column = np.round(edge + np.clip(np.round((at - edge) * _SPOTS), 1, _SPOTS - 1) / _SPOTS, 4)
    return _Joints(lines.line[piece][found], t[found], street[found], row[found].astype(np.float64), column[found])


def _reached(east_label: IntArray, north_label: IntArray, crossed: IntArray) -> NDArray[np.bool_]:
    """Which streets can be driven to from the roads that cross them, over any number of others."""
    pairs = [
        np.stack([one, other])[:, (one >= 0) & (other >= 0) & (one != other)]
        for one, other in itertools.combinations(_around(east_label, north_label), 2)
    ]
    a, b = np.unique(np.concatenate(pairs, axis=1), axis=1)
    count = max(east_label.max(initial=-1), north_label.max(initial=-1)) + 1
    reached = np.zeros(count + 1, np.bool_)  # the last is that of label -1
    reached[crossed] = True
    while True:
        before = np.count_nonzero(reached)
        reached[b[reached[a]]] = True
        reached[a[reached[b]]] = True
        if np.count_nonzero(reached) == before:
            return reached


def _string(
    raster: Raster, east_label: IntArray, north_label: IntArray, norths: int, joints: _Joints
) -> tuple[FloatArray, FloatArray, list[list[int]], IntArray]:
    """Latitudes and longitudes of the nodes, the nodes of each street in their order, and the node of each joint."""
    west_of, east_of, south_of, north_of = _around(east_label, north_label)
    needed = (west_of != east_of) | (south_of != north_of)  # an end, or another street begins
    needed |= (east_of >= 0) & (north_of >= 0)
    row, column = (of.astype(np.float64) for of in np.nonzero(needed))
    node = np.arange(len(row))
    spots, joint = np.unique(np.stack([joints.label, joints.row, joints.column]), axis=1, return_inverse=True)
    members = [(spots[0].astype(np.int64), spots[1], spots[2], len(node) + np.arange(spots.shape[1]))]
    for one, other in ((west_of, east_of), (south_of, north_of)):
        for label in (one[needed], np.where(one == other, -1, other)[needed]):
            on = label >= 0
            members += [(label[on], row[on], column[on], node[on])]
    of, at_row, at_column, which = (np.concatenate(parts) for parts in zip(*members, strict=True))
    order = np.lexsort((which, np.where(of < norths, at_column, at_row), of))
    begins = np.flatnonzero(np.diff(of[order])) + 1
    nodes = [part.tolist() for part in np.split(which[order], begins)] if len(of) else []
    lat = np.round(raster.south + np.concatenate([row, spots[1]]) * raster.d_lat, 7)
    lon = np.round(raster.west + np.concatenate([column, spots[2]]) * raster.d_lon, 7)
    return lat, lon, nodes, len(node) + joint.ravel()
