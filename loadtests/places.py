"""Where drivers look: query points where stations are dense. Pure and seeded.

Places are the tiles of zoom 10, some 25 km wide in Europe, ranked by how many stations they hold; a place is drawn with a
probability that falls with its rank (Zipf's law, exponent 1), then one of its stations, then a point near that: as drivers
spread over towns, and so that no two points are the same and no cache is measured by repetition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from geo.tilemath import Tile, pixels, tile_keys

PLACE_ZOOM = 10
VIEW_ZOOM = 13
ZIPF = 1.0
SPREAD_M = 700.0  # of points around a station: a driver looks for it from a few streets away
METRES_A_DEGREE = 111_195.0
FURTHEST_LAT = 85.0


class Found(NamedTuple):
    """A station of the target, its id as it stands in a path."""

    id: str
    lat: float
    lon: float


class Spot(NamedTuple):
    """Where a session takes place, and the station that it looks at."""

    lat: float
    lon: float
    station: str


def draw(stations: Sequence[Found], count: int, seed: int) -> list[Spot]:
    """`count` spots. Raises ValueError when there are no stations."""
    if not stations:
        raise ValueError("the target has no stations to look at")
    rng = np.random.default_rng(seed)
    lat, lon = (np.array(column, np.float64) for column in zip(*((s.lat, s.lon) for s in stations), strict=True))
    at = pixels(lat, lon, PLACE_ZOOM)
    _, place, members = np.unique(tile_keys(PLACE_ZOOM, at.x, at.y), return_inverse=True, return_counts=True)
    ranked = np.argsort(-members, kind="stable")
    weight = 1.0 / np.arange(1, len(ranked) + 1) ** ZIPF
    chosen = ranked[rng.choice(len(ranked), count, p=weight / weight.sum())]
    order = np.argsort(place, kind="stable")  # stations, place by place
    first = np.concatenate(([0], np.cumsum(members)))[:-1]
    which = order[first[chosen] + (rng.random(count) * members[chosen]).astype(np.int64)]
    north, east = rng.normal(scale=SPREAD_M / METRES_A_DEGREE, size=(2, count))
    lats = np.clip(lat[which] + north, -FURTHEST_LAT, FURTHEST_LAT)
    lons = np.clip(lon[which] + east / np.cos(np.radians(lats)), -179.999999, 179.999999)
    return [
        Spot(round(one, 6), round(other, 6), stations[i].id)
        for one, other, i in zip(lats.tolist(), lons.tolist(), which.tolist(), strict=True)
    ]


def viewports(spots: Sequence[Spot]) -> Iterator[list[Tile]]:
    """Five tiles of zoom 13 that a phone shows around each spot: the spot's own first, then its neighbours. A row beyond the
    poles' end is replaced by the one on the other side."""
    side = 1 << VIEW_ZOOM
    at = pixels([spot.lat for spot in spots], [spot.lon for spot in spots], VIEW_ZOOM)
    for x, y in zip(at.x.tolist(), at.y.tolist(), strict=True):
        north, south = y - 1 if y > 0 else y + 2, y + 1 if y + 1 < side else y - 2
        places = ((x, y), ((x + 1) % side, y), ((x - 1) % side, y), (x, north), (x, south))
        yield [Tile(VIEW_ZOOM, column, row) for column, row in places]
