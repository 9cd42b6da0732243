"""Positions, boxes and metres. The only door for coordinates: finite, in range, parsed once into a type."""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_M = 6371008.8  # mean radius of the WGS 84 ellipsoid (IUGG R1); DESIGN fixes it for every distance

Floats = NDArray[np.float64]


class CoordinateError(ValueError):
    """A coordinate out of range; the message says what is allowed."""


class LatLon(NamedTuple):
    """A position in degrees, latitude first (lon, lat only where a format demands it)."""

    lat: float
    lon: float

    @classmethod
    def of(cls, lat: float, lon: float) -> LatLon:
        """Raises CoordinateError. The negated comparisons refuse NaN as well: do not "simplify" them."""
        if not -90.0 <= lat <= 90.0:
            raise CoordinateError("latitude must be a number from -90 to 90")
        if not -180.0 <= lon <= 180.0:
            raise CoordinateError("longitude must be a number from -180 to 180")
        return cls(lat, lon)


class Box(NamedTuple):
    """west, south, east, north in degrees; west > east crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, west: float, south: float, east: float, north: float) -> Box:
        """Raises CoordinateError."""
        LatLon.of(south, west)
        LatLon.of(north, east)
        if south > north:
            raise CoordinateError("south must not exceed north")
        return cls(west, south, east, north)

    def parts(self) -> Sequence[Box]:
        """One box, or two when it crosses the antimeridian."""
        if self.west <= self.east:
            return (self,)
        return (self._replace(east=180.0), self._replace(west=-180.0))

    def contains(self, lat: Floats, lon: Floats) -> NDArray[np.bool_]:
        """Edges belong to the box. ±180 are the same meridian."""
        inside = (lon >= self.west) & (lon <= self.east)
        if self.west > self.east:
            inside = (lon >= self.west) | (lon <= self.east)
        elif self.east == 180.0:
            inside |= lon == -180.0
        elif self.west == -180.0:
            inside |= lon == 180.0
        return (lat >= self.south) & (lat <= self.north) & inside

    @property
    def area_deg2(self) -> float:
        width = self.east - self.west
        return (width if width >= 0 else width + 360.0) * (self.north - self.south)


def haversine_m(a: LatLon, b: LatLon) -> float:
    """Great-circle distance in metres (R. W. Sinnott, "Virtues of the Haversine", 1984)."""
    phi1, phi2 = radians(a.lat), radians(b.lat)
    s = sin((phi2 - phi1) / 2) ** 2 + cos(phi1) * cos(phi2) * sin(radians(b.lon - a.lon) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(s)))


def unit_vectors(lat: Floats, lon: Floats) -> Floats:
    """Positions on the unit sphere, shape (n, 3). No seam at the antimeridian and none at the poles."""
    phi, lam = np.radians(lat), np.radians(lon)
    c = np.cos(phi)
    return np.stack((c * np.cos(lam), c * np.sin(lam), np.sin(phi)), axis=-1)
