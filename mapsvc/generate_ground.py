"""Where the stations of a synthetic region stand: in towns, along roads, on motorways, and where maps go wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mapsvc.generate_plan import FloatArray, IntArray, Region, World, around
from mapsvc.generate_roads import KM_PER_DEGREE

TOWN, RURAL, MOTORWAY, EDGE = range(4)
_OFF_ROAD_KM = 0.15  # at most, each way
_TWIN_SHARE = 0.002  # of the town stations stand on the very spot of another: two operators in one car park


class Ground(NamedTuple):
    """One row a station, in the order of the stations. `town` is the index of the town it belongs to, -1 for none."""

    kind: IntArray
    lat: FloatArray
    lon: FloatArray
    town: IntArray


def lay_ground(world: World, region: Region, rng: np.random.Generator) -> Ground:
    sizes = [world.towns[k].stations for k in region.towns]
    of_town = np.repeat(np.arange(region.towns.start, region.towns.stop), sizes)
    parts = [(TOWN, *around(world, of_town, rng), of_town), (RURAL, *_rural(world, region, rng))]
    parts += [(MOTORWAY, *_beside(world, [(s.link, s.t) for s in region.stops], rng)), (EDGE, *_edges(region, rng))]
    kind = np.repeat([part[0] for part in parts], [len(part[1]) for part in parts])
    lat, lon, town = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
    order = np.argsort(rng.random(region.stations), kind="stable")
    ground = Ground(kind[order], lat[order], lon[order], town[order])
    twin = np.flatnonzero(rng.random(region.stations) < _TWIN_SHARE)
    twin = twin[(twin > 0) & (ground.kind[twin] == TOWN) & (ground.kind[twin - 1] == TOWN)]
    for column in ground[1:]:
        column[twin] = column[twin - 1]
    return ground


def _rural(world: World, region: Region, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, IntArray]:
    roads = [k for k in region.links if not world.links[k].motorway] or list(region.links)
    ends = np.cumsum([world.links[k].length_km for k in roads] or [0.0])
    u = rng.random((2, region.rural))
    chosen = np.searchsorted(ends, u[0] * ends[-1], side="right").tolist()
    return _beside(world, [(roads[k], t) for k, t in zip(chosen, u[1].tolist(), strict=True)], rng)


def _beside(
    world: World, spots: list[tuple[int, float]], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Places just off the roads, each with its nearer town. A spot is (index of the link, t)."""
    points = np.array([world.point_on(world.links[k], t) for k, t in spots]).reshape(-1, 2)
    towns = np.array([world.links[k].a if t < 0.5 else world.links[k].b for k, t in spots], np.int64)
    points += (rng.random(points.shape) - 0.5) * (2 * _OFF_ROAD_KM / KM_PER_DEGREE)
    return np.round(points[:, 0], 6), np.round(points[:, 1], 6), towns


def _edges(region: Region, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, IntArray]:
    points = []
    for k, (u, v) in enumerate(rng.random((region.edges, 2)).tolist()):
        points.append(
            (
                (-16.8 + 0.05 * u, 180 - 0.05 * v),  # Fiji's waters: neighbours across the date line
                (-16.8 + 0.05 * u, -180 + 0.05 * v),
                (85.06 + 4.9 * u, 360 * v - 180),  # beyond Web Mercator's edge
                (0.0, 0.0),
                (-85.06 - 4.9 * u, 360 * v - 180),
                (66.0 + 0.05 * u, 180 - 0.05 * v),
                (66.0 + 0.05 * u, -180 + 0.05 * v),
                (-16.8, 180.0),
                (-16.8, -180.0),
                (90.0, 0.0),
                (-90.0, 0.0),
                (2e-5 * u - 1e-5, 2e-5 * v - 1e-5),  # the four quadrants around zero
            )[k % 12]
        )
    lat, lon = np.round(np.array(points).reshape(-1, 2), 6).T + 0.0  # + 0.0: no minus zero
    return lat, lon, np.full(len(points), -1, np.int64)
