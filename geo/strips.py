"""Where stations stand, for looking around a point: strips of latitude, and in each the stations from west to east.

All is one sorted array of keys: strip times TURN, plus the longitude. A circle lies in a few strips, and in each of them
between two longitudes, so that looking for what is in it is one binary search for all of these bounds and a few stretches of
the array, hardly longer than what is wanted. Nothing is remembered of places, so the first question about one costs what the
hundredth does.

Data      two parts, each sorted: a large one, and a small one that takes in what comes. When the small one outgrows a fraction
          of the large one they are merged, so that adding costs in proportion to what is added.
Invariant each station that was added and not removed stands in exactly one place; who was removed leaves a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from math import asin, cos, degrees, floor, pi, radians, sin, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.point import EARTH_RADIUS_M, Floats, LatLon

STRIPS_PER_DEG = 64  # 1.7 km: a town's centre is in one, the default radius in 13
TURN = 512.0  # more than all longitudes; keys are exact to 10^-9 degrees
SLACK_DEG = 1e-6  # 0.1 m, for rounding: metres decide afterwards
NEIGHBOURS = 6  # on either side, that tell how dense stations are …
TELLING = 5  # … if so many are in the same strip; …
WIDE_M = 30_000.0  # … otherwise those in this distance
LEAST_SPAN_DEG = 1e-4  # 10 m: as many stations as that may stand on one spot
HOLE = -1
SMALL_AT_LEAST, SMALL_FRACTION = 2048, 64
_DEG_M = EARTH_RADIUS_M * pi / 180


class _Part(NamedTuple):
    keys: Floats  # rising
    rows: Rows


_NOTHING = _Part(np.zeros(0), np.zeros(0, np.int32))


class Strips:
    def __init__(self) -> None:
        self._large, self._small = _NOTHING, _NOTHING
        self._coming: list[_Part] = []
        self._holes = 0

    def __len__(self) -> int:
        """Stations and holes."""
        return sum(len(part.rows) for part in (self._large, self._small, *self._coming))

    def add(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._coming.append(_Part(_keys(lat, lon), rows))

    def remove(self, row: int, at: LatLon) -> None:
        """Raises KeyError for one that is not there."""
        self._settle()
        key = _strip(at.lat) * TURN + (at.lon + 180.0)
        for part in (self._small, self._large):
            for place in range(int(part.keys.searchsorted(key)), len(part.keys)):
                if part.keys[place] != key:
                    break
                if part.rows[place] == row:
                    part.rows[place] = HOLE
                    self._holes += 1
                    return
        raise KeyError(row)

    def those(self, belong: Callable[[Rows], NDArray[np.bool_]]) -> Strips:
        """The same of some of the stations."""
        self._settle()
        found = Strips()
        for part in (self._large, self._small):
            there = np.flatnonzero(part.rows != HOLE)
            some = there[belong(part.rows[there])]
            if len(some):
                found._coming.append(_Part(part.keys[some], part.rows[some]))
        return found

    def around(self, at: LatLon, length_m: float) -> Rows:
        """Every station within `length_m`, and some further away."""
        self._settle()
        bounds = _bounds(at, length_m)
        rows = [row for part in (self._large, self._small) if len(part.rows) for row in _between(part, bounds)]
        if not rows:
            return _NOTHING.rows
        found = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return found[found != HOLE] if self._holes else found

    def reach_m(self, at: LatLon, count: float) -> float:
        """About how far it is to the `count`-th station, by the density of those to the west and east."""
        self._settle()
        keys = self._large.keys if len(self._large.keys) >= len(self._small.keys) else self._small.keys
        if len(keys) == 0:
            return 2 * EARTH_RADIUS_M
        start = _strip(at.lat) * TURN
        place = int(keys.searchsorted(start + (at.lon + 180.0)))
        near = [
            key for key in keys[max(0, place - NEIGHBOURS) : place + NEIGHBOURS].tolist() if 0 <= key - start <= 360
        ]
        if len(near) >= TELLING:
            span_deg = max(LEAST_SPAN_DEG, near[-1] - near[0])
            area_m2 = span_deg * max(0.01, cos(radians(at.lat))) * _DEG_M * _DEG_M / STRIPS_PER_DEG
            return sqrt(count * area_m2 / (pi * (len(near) - 1)))
        return sqrt(count * 4 * WIDE_M**2 / (pi * max(1, len(self.around(at, WIDE_M)))))

    def _settle(self) -> None:
        if not self._coming:
            return
        self._small = _merged([self._small, *self._coming])
        self._coming.clear()
        if len(self._small.rows) > max(SMALL_AT_LEAST, len(self._large.rows) // SMALL_FRACTION):
            self._large, self._small, self._holes = _merged([self._large, self._small]), _NOTHING, 0


def _strip(lat: float) -> int:
    return floor((lat + 90.0) * STRIPS_PER_DEG)


def _keys(lat: Floats, lon: Floats) -> Floats:
    keys: Floats = np.floor((lat + 90.0) * STRIPS_PER_DEG) * TURN + (lon + 180.0)
    return keys


def _bounds(at: LatLon, length_m: float) -> Floats:
    """Keys, from where and then up to where: the circle's strips, and the longitudes between which it lies in all of them."""
    reach_deg = length_m / _DEG_M + SLACK_DEG
    strips = np.arange(_strip(at.lat - reach_deg), _strip(at.lat + reach_deg) + 1) * TURN + 180.0
    if abs(at.lat) + reach_deg >= 90.0:  # a pole is inside: every longitude
        spans = [(-180.0, 180.0)]
    else:
        # The meridian that a circle of angular radius d about latitude phi just touches is asin(sin d / cos phi) away.
        width = degrees(asin(min(1.0, sin(radians(reach_deg)) / cos(radians(at.lat))))) + SLACK_DEG
        west, east = at.lon - width, at.lon + width
        spans = [(max(west, -180.0), min(east, 180.0))]
        if west < -180.0:
            spans.append((west + 360.0, 180.0))
        if east > 180.0:
            spans.append((-180.0, east - 360.0))
    lows = [strips + (west - SLACK_DEG) for west, _ in spans]
    return np.concatenate(lows + [strips + (east + SLACK_DEG) for _, east in spans])


def _between(part: _Part, bounds: Floats) -> list[Rows]:
    places = part.keys.searchsorted(bounds).tolist()
    half = len(places) // 2
    return [part.rows[first:end] for first, end in zip(places[:half], places[half:], strict=True) if end > first]


def _merged(parts: list[_Part]) -> _Part:
    keys, rows = np.concatenate([part.keys for part in parts]), np.concatenate([part.rows for part in parts])
    there = np.flatnonzero(rows != HOLE)
    order = there[np.argsort(keys[there], kind="stable")]  # finds sorted stretches, so merging two of them is linear
    return _Part(keys[order], rows[order])
