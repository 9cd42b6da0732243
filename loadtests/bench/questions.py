"""What is asked: query points where stations are dense, and the paths of requests.

A point is a station drawn at random (every one equally likely) and moved by a kilometre or so. The generated world's towns
follow Zipf 1.0 in each region (the k-th largest has 1/k of the largest), so drawing stations draws towns by Zipf 1.0, and
just as densely in a small world as in a large one. Points are seeded and all different.

Every place is asked about at several points a few steps apart, so that no question is one that was answered before: no
cache of answers is measured by repetition, while what a server prepares by places is as warm as after minutes of use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from loadtests.bench.snapshot import Floats, Snapshot

SIGMA_DEG = 0.01  # some 1.1 km north to south
STEP_DEG = 0.0003  # some 30 m
LIMIT = 20
RADIUS_M = 10_000.0  # the API's default: peers use the same
EARTH_RADIUS_M = 6_371_008.8

Point = tuple[float, float]


class Placed(Protocol):
    """Stations, one a row, degrees."""

    @property
    def lat(self) -> Floats: ...
    @property
    def lon(self) -> Floats: ...


def query_points(snapshot: Snapshot, count: int, seed: int = 1) -> list[Point]:
    """(lat, lon), six decimals, all different. Of stations between 70° S and 70° N: nobody charges at the poles."""
    rng = np.random.default_rng(seed)
    usable = np.flatnonzero(np.abs(snapshot.lat) < 70)
    found: dict[Point, None] = {}
    while len(found) < count:
        rows = rng.choice(usable, count)
        lat = np.round(snapshot.lat[rows] + rng.normal(0, SIGMA_DEG, count), 6)
        lon = np.round(np.clip(snapshot.lon[rows] + rng.normal(0, SIGMA_DEG, count), -180, 180), 6)
        found.update(dict.fromkeys(zip(lat.tolist(), lon.tolist(), strict=True)))
    return list(found)[:count]


def nudged(places: Sequence[Point], times: int, seed: int) -> list[Point]:
    """All places, each moved by a few steps; then all again, moved otherwise; and so on. All different but for the odd
    coincidence."""
    rng = np.random.default_rng([seed, times])
    at = np.tile(np.array(places), (times, 1))
    moved = np.round(at + rng.normal(0, STEP_DEG, at.shape), 6)
    return [(lat, lon) for lat, lon in np.clip(moved, (-90, -180), (90, 180)).tolist()]


def nearby_paths(points: Sequence[Point], query: str = "", path: str = "/v1/nearby") -> list[str]:
    return [f"{path}?lat={lat:.6f}&lon={lon:.6f}&limit={LIMIT}{query}" for lat, lon in points]


def metres(snapshot: Placed, at: Point) -> Floats:
    """From a point to every station, by the haversine formula (R. W. Sinnott, Virtues of the Haversine, 1984)."""
    phi, lam = np.radians(snapshot.lat), np.radians(snapshot.lon)
    phi0, lam0 = np.radians(at[0]), np.radians(at[1])
    h = np.sin((phi - phi0) / 2) ** 2 + np.cos(phi) * np.cos(phi0) * np.sin((lam - lam0) / 2) ** 2
    found: Floats = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, h)))
    return found


def local_density(snapshot: Snapshot, points: Sequence[Point]) -> float:
    """Stations within the default radius of a point, on average: what a larger world must not change (S9)."""
    return float(np.mean([np.count_nonzero(metres(snapshot, at) <= RADIUS_M) for at in points]))
