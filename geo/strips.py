"""Where stations stand, for looking around a point: strips of latitude, and in each the stations from west to east.

All is one sorted array of keys: strip times TURN, plus the longitude. A circle lies in a few strips, and in each of them
between two longitudes, so that what is in it stands in a few stretches of the array, hardly longer than what is wanted.
Nothing is remembered of places, so the first question about one costs what the hundredth does.

The loops are compiled (docs/decisions/0015): a look takes 10 µs, where numpy's calls took 25 for the same few numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import asin, cos, floor, pi, radians, sin, sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows
from geo.point import EARTH_RADIUS_M, Floats, LatLon
from geo.sorted_rows import HOLE, SortedRows

STRIPS_PER_DEG = 64  # 1.7 km: a town's centre is in one, the default radius in 13
TURN = 512.0  # more than all longitudes; keys are exact to 10^-9 degrees
SLACK_DEG = 1e-6  # 0.1 m, for rounding: metres decide
NEIGHBOURS = 6  # on either side, that tell how dense stations are …
TELLING = 5  # … if so many are in the same strip; …
WIDE_M = 30_000.0  # … otherwise those in this distance
FIRST_LOOK = 1.3  # times the distance that density suggests: six of seven looks hold enough
LEAST_FURTHER, MOST_FURTHER = 1.4, 4.0  # what the next look is longer by
LEAST_SPAN_DEG = 1e-4  # 10 m: as many stations as that may stand on one spot
MANY = 120  # from so many on they are not sorted by insertion
_DEG_M = EARTH_RADIUS_M * pi / 180


_STRIPS = 180 * STRIPS_PER_DEG + 1
_NO_BEGINS = np.zeros(0, np.int32)


class Near(NamedTuple):
    """Stations by distance: rows, squared chords to the point."""

    rows: Rows
    chord2: Floats


class Nearest(NamedTuple):
    """Likewise, with metres. `is_tied`: two of them are equally far."""

    near: Near
    metres: Floats
    is_tied: bool


class Strips:
    def __init__(self) -> None:
        self._sorted: SortedRows[np.float64] = SortedRows(np.float64)
        self._large, self._small = self._sorted.parts()
        self._begins = _NO_BEGINS  # by strip: where it begins in the large part
        self._is_settled = True
        self._make_room(2048)

    def __len__(self) -> int:
        """Stations and holes."""
        return len(self._sorted)

    def add(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._sorted.add(_keys(lat, lon), rows)
        self._is_settled = False

    def remove(self, row: int, at: LatLon) -> None:
        """Raises KeyError for one that is not there."""
        self._sorted.remove(floor((at.lat + 90.0) * STRIPS_PER_DEG) * TURN + (at.lon + 180.0), row)
        self._is_settled = False

    def those(self, belong: Callable[[Rows], NDArray[np.bool_]]) -> Strips:
        """The same of some of the stations."""
        found = Strips()
        found._sorted, found._is_settled = self._sorted.those(belong), False
        return found

    def within(self, at: LatLon, length_m: float, xyz: Floats) -> Near:
        """Every station within `length_m`, nearest first; `xyz` (rows, 3): their unit vectors."""
        self._settle()
        while True:
            count = _within(
                *self._large, self._begins, *self._small, xyz, at.lat, at.lon, length_m, self._rows, self._chord2
            )
            if count <= len(self._rows):
                return Near(self._rows[:count].copy(), self._chord2[:count].copy())
            self._make_room(count)

    def nearest(self, at: LatLon, most_m: float, limit: int, xyz: Floats) -> Nearest:
        """The nearest ones within `most_m`, nearest first: `limit`, and those that are as far as the last of them; or all there
        are, if they are fewer."""
        self._settle()
        while True:
            count, room, is_tied = _nearest(
                *self._large, self._begins, *self._small, xyz, at.lat, at.lon, most_m, limit, self._rows, self._chord2,
                self._metres,
            )  # fmt: skip
            if room <= len(self._rows):
                near = Near(self._rows[:count].copy(), self._chord2[:count])  # the latter until the next look
                return Nearest(near, self._metres[:count].copy(), is_tied)
            self._make_room(room)

    def reach_m(self, at: LatLon, count: float) -> float:
        """About how far it is to the `count`-th station, by the density of those to the west and east."""
        self._settle()
        reach_m: float = _reach_m(self._large.keys, self._small.keys, at.lat, at.lon, float(count))
        return reach_m

    def _settle(self) -> None:
        if self._is_settled:
            return
        large, self._small = self._sorted.parts()
        if large is not self._large:
            self._large = large
            self._begins = np.searchsorted(large.keys, np.arange(_STRIPS + 1) * TURN).astype(np.int32)
        self._is_settled = True

    def _make_room(self, count: int) -> None:
        """For the look that is being taken."""
        self._rows, self._chord2, self._metres = np.empty(2 * count, np.int32), np.empty(2 * count), np.empty(2 * count)


def _keys(lat: Floats, lon: Floats) -> Floats:
    keys: Floats = np.floor((lat + 90.0) * STRIPS_PER_DEG) * TURN + (lon + 180.0)
    return keys


# -- compiled ---------------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _place_of(keys: Floats, key: float, low: int, high: int) -> int:
    """Of the first that is not below, from low up to high."""
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _spans(lat: float, lon: float, reach_deg: float) -> tuple[float, float, float, float]:
    """The longitudes between which a circle lies, west and east; twice, as it may lie on both sides of the antimeridian."""
    if abs(lat) + reach_deg >= 90.0:  # a pole is inside
        return -180.0, 180.0, 1.0, 0.0
    # The meridian that a circle of angular radius d about latitude phi just touches is asin(sin d / cos phi) away.
    width = asin(min(1.0, sin(radians(reach_deg)) / cos(radians(lat)))) * 180.0 / pi + SLACK_DEG
    west, east = lon - width, lon + width
    if west < -180.0 and east > 180.0:
        return -180.0, 180.0, 1.0, 0.0
    if west < -180.0:
        return -180.0, east, west + 360.0, 180.0
    if east > 180.0:
        return west, 180.0, -180.0, east - 360.0
    return west, east, 1.0, 0.0


@njit(cache=True)
def _look(
    keys: Floats, rows: Rows, begins: NDArray[np.int32], xyz: Floats, lat: float, lon: float, length_m: float, x: float,
    y: float, z: float, bound: float, found: Rows, chord2s: Floats, count: int,
) -> int:  # fmt: skip
    """Appends what is within to what was found already; returns how many there are, more perhaps than there is room for."""
    reach_deg = length_m / _DEG_M + SLACK_DEG
    west, east, other_west, other_east = _spans(lat, lon, reach_deg)
    room = len(found)
    first, last = floor((lat - reach_deg + 90.0) * STRIPS_PER_DEG), floor((lat + reach_deg + 90.0) * STRIPS_PER_DEG)
    for strip in range(max(0, first), min(_STRIPS - 1, last) + 1):
        low, high = (begins[strip], begins[strip + 1]) if len(begins) > 0 else (0, len(keys))
        for side in range(2):
            a, b = (west, east) if side == 0 else (other_west, other_east)
            if a > b:
                continue
            begin, end = strip * TURN + 180.0 + a - SLACK_DEG, strip * TURN + 180.0 + b + SLACK_DEG
            for place in range(_place_of(keys, begin, low, high), high):
                if keys[place] > end:
                    break
                row = rows[place]
                if row == HOLE:
                    continue
                dx, dy, dz = xyz[row, 0] - x, xyz[row, 1] - y, xyz[row, 2] - z
                chord2 = dx * dx + dy * dy + dz * dz
                if chord2 <= bound:
                    if count < room:
                        found[count], chord2s[count] = row, chord2
                    count += 1
    return count


@njit(cache=True)
def _within(
    keys: Floats, rows: Rows, begins: NDArray[np.int32], more_keys: Floats, more_rows: Rows, xyz: Floats, lat: float,
    lon: float, length_m: float, found: Rows, chord2s: Floats,
) -> int:  # fmt: skip
    """Both parts looked into, and what there is in ascending order if there is room for it; how many there are."""
    phi, lam = radians(lat), radians(lon)
    x, y, z = cos(phi) * cos(lam), cos(phi) * sin(lam), sin(phi)
    half = length_m / (2.0 * EARTH_RADIUS_M)
    bound = 4.0 if half >= pi / 2 else (2.0 * sin(half)) ** 2
    count = _look(keys, rows, begins, xyz, lat, lon, length_m, x, y, z, bound, found, chord2s, 0)
    if len(more_keys) > 0:
        count = _look(more_keys, more_rows, begins[:0], xyz, lat, lon, length_m, x, y, z, bound, found, chord2s, count)
    if count > len(found):
        return count
    if count > MANY:
        order = np.argsort(chord2s[:count])
        found[:count], chord2s[:count] = found[:count][order], chord2s[:count][order]
        return count
    for i in range(1, count):
        row, chord2, place = found[i], chord2s[i], i
        while place > 0 and chord2s[place - 1] > chord2:
            found[place], chord2s[place] = found[place - 1], chord2s[place - 1]
            place -= 1
        found[place], chord2s[place] = row, chord2
    return count


@njit(cache=True)
def _nearest(
    keys: Floats, rows: Rows, begins: NDArray[np.int32], more_keys: Floats, more_rows: Rows, xyz: Floats, lat: float,
    lon: float, most_m: float, limit: int, found: Rows, chord2s: Floats, metres: Floats,
) -> tuple[int, int, bool]:  # fmt: skip
    """How many there are, in ascending order if there was room; how much room it takes; and whether two are equally far."""
    length_m = FIRST_LOOK * _reach_m(keys, more_keys, lat, lon, float(limit))
    while True:
        length_m = min(most_m, length_m)
        count = _within(keys, rows, begins, more_keys, more_rows, xyz, lat, lon, length_m, found, chord2s)
        if count > len(found):
            return 0, count, False
        if count >= limit or length_m >= most_m:
            break
        length_m *= further(limit, count)
    end = min(count, limit)
    while 0 < end < count and chord2s[end] == chord2s[end - 1]:
        end += 1
    return end, count, metres_of(chord2s[:end], metres)


@njit(cache=True)
def metres_of(rising: Floats, metres: Floats) -> bool:
    """Writes the metres of squared chords far below 4 (MAX_RADIUS_M); whether two of them are the same."""
    is_tied = False
    for i in range(len(rising)):
        metres[i] = 2.0 * EARTH_RADIUS_M * asin(0.5 * sqrt(rising[i]))
        is_tied |= i > 0 and rising[i] == rising[i - 1]
    return is_tied


@njit(cache=True)
def further(enough: int, count: int) -> float:
    """How much further a look has to go that found `count` where it should have found `enough`."""
    return min(MOST_FURTHER, max(LEAST_FURTHER, sqrt(1.5 * enough / (count + 1))))


@njit(cache=True)
def _reach_m(large: Floats, small: Floats, lat: float, lon: float, count: float) -> float:
    keys = large if len(large) >= len(small) else small
    return sqrt(count * (_area_each(keys, lat, lon) if len(keys) > 0 else 4.0 * WIDE_M * WIDE_M) / pi)


@njit(cache=True)
def _area_each(keys: Floats, lat: float, lon: float) -> float:
    """Square metres to a station about there."""
    start = floor((lat + 90.0) * STRIPS_PER_DEG) * TURN
    place, shrink = _place_of(keys, start + lon + 180.0, 0, len(keys)), max(0.01, cos(radians(lat)))
    first, last = max(0, place - NEIGHBOURS), min(len(keys), place + NEIGHBOURS) - 1
    while first <= last and keys[first] < start:
        first += 1
    while last >= first and keys[last] > start + 360.0:
        last -= 1
    if last - first + 1 >= TELLING:
        span_deg = float(max(LEAST_SPAN_DEG, keys[last] - keys[first]))
        return span_deg * shrink * _DEG_M * _DEG_M / STRIPS_PER_DEG / (last - first)
    reach_deg = WIDE_M / _DEG_M
    width, count = min(180.0, reach_deg / shrink), 0
    for strip in range(
        floor((lat - reach_deg + 90.0) * STRIPS_PER_DEG), floor((lat + reach_deg + 90.0) * STRIPS_PER_DEG) + 1
    ):
        middle = strip * TURN + 180.0 + lon
        count += _place_of(keys, middle + width, 0, len(keys)) - _place_of(keys, middle - width, 0, len(keys))
    return 4.0 * WIDE_M * WIDE_M / max(1, count)
