"""The roads of the synthetic world: which towns they join, how they run, where motorways have charging sites."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

KM_PER_DEGREE = 111.195  # of a great circle of R = 6371.0088 km
_HUB_SHARE = 0.1  # the largest towns of a region: motorways join these
_BEND_MAX = {False: 0.2, True: 0.1}  # by motorway: see Link.bend
_STOP_GAP_KM = (15.0, 40.0)  # between two charging sites of one motorway
_NEAREST = 16  # neighbours among which roads are sought


class Link(NamedTuple):
    """A road between the towns of indices a and b; `World.road` gives its course."""

    a: int
    b: int
    motorway: bool
    bend: float  # how far its middle lies off the straight line, in lengths of that line: half of this
    length_km: float


class Stop(NamedTuple):
    """A charging site on a motorway, at `t` (0..1) of its course."""

    link: int
    t: float


def lon_scale(lat: float) -> float:
    """Length of a degree of longitude in degrees of latitude; rounded, for no two libraries agree on the last bit."""
    return round(math.cos(math.radians(lat)), 6)


def lay_roads(
    rng: np.random.Generator,
    known: list[tuple[float, float]],
    neighbours: list[range],
    sites: list[tuple[float, float]],
    lat: float,
) -> list[Link]:
    """Roads of a region's towns among each other and to the regions settled before; motorways between the large ones."""
    first = len(known)
    places, pairs = known + sites, dict[tuple[int, int], bool]()
    for share, motorway in ((1.0, False), (_HUB_SHARE, True)):
        own = list(range(first, first + math.ceil(len(sites) * share)))
        others = [k for towns in neighbours for k in towns[: math.ceil(len(towns) * share)]]
        pairs.update(dict.fromkeys(_gabriel(places, own, others, lat), motorway))
    u = rng.random(len(pairs)).tolist()
    links = []
    for ((a, b), motorway), bend in zip(sorted(pairs.items()), u, strict=True):
        y = places[b][0] - places[a][0]
        x = (places[b][1] - places[a][1]) * lon_scale((places[a][0] + places[b][0]) / 2)
        length = round(math.sqrt(x * x + y * y) * KM_PER_DEGREE, 3)
        links.append(Link(a, b, motorway, round((2 * bend - 1) * _BEND_MAX[motorway], 4), length))
    return links


def _gabriel(places: list[tuple[float, float]], own: list[int], others: list[int], lat: float) -> list[tuple[int, int]]:
    """Edges of the Gabriel graph that touch `own`: a road joins two towns if no third lies in the circle between them.

    It looks like a road network (about two roads a town, no crossings) and joins everything. Whatever lies in that circle
    is nearer to one end than the other end is, so looking at a town's nearest neighbours in order is enough.
    """
    ids = np.array(own + others, np.int64)
    xy = np.array([(places[k][1] * lon_scale(lat), places[k][0]) for k in ids.tolist()])
    nearest = min(_NEAREST, len(ids) - 1)
    if nearest == 0:
        return []
    apart = ((xy[: len(own), None, :] - xy[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    near = np.argpartition(apart, nearest - 1, axis=1)[:, :nearest]
    near = np.take_along_axis(near, np.argsort(np.take_along_axis(apart, near, axis=1), axis=1, kind="stable"), axis=1)
    reach = np.take_along_axis(apart, near, axis=1)  # [i, r]: squared distance of i to its r-th neighbour
    between = ((xy[near][:, :, None, :] - xy[near][:, None, :, :]) ** 2).sum(axis=3)
    blocked = (reach[:, :, None] + between < reach[:, None, :]) & np.tri(nearest, k=-1, dtype=np.bool_).T
    i, r = np.nonzero(~blocked.any(axis=1))
    a, b = ids[i], ids[near[i, r]]
    return sorted(set(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True)))


def place_stops(rng: np.random.Generator, links: list[Link], first: int, at_most: int) -> tuple[Stop, ...]:
    low, high = _STOP_GAP_KM
    stops = []
    for k, link in enumerate(links):
        at_km = low * float(rng.random())
        while link.motorway and at_km < link.length_km:
            stops.append(Stop(first + k, round(at_km / link.length_km, 6)))
            at_km += low + (high - low) * float(rng.random())
    return tuple(stops[:at_most])
