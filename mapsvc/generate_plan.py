"""The plan of the synthetic world: regions, towns and the roads between them, before any station stands on it.

The world is settled region by region, outwards from the middle of Europe. A region is 10,000 stations on about
79,000 km², a country's density (Germany and France: 0.15-0.2 stations per km²), and all regions are drawn alike. So a
larger world has more regions, never denser ones (goal S9: cost grows with the answer, not with the world), and a region
depends on the seed and on the regions settled before it only: the first 10,000 stations of every world of one seed are
the same. Countries and names are made up; ISO 3166 leaves XA-XZ and XAA-XZZ to private use.

Reproducible to the bit: numpy gives raw uniform doubles only (PCG64, SeedSequence: both streams are frozen), shapes come
from sums, products and square roots, and whatever a cosine or a power touched is rounded before it is kept.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapsvc.generate_roads import KM_PER_DEGREE, Link, Stop, lay_roads, lon_scale, place_stops
from mapsvc.generate_words import COUNTRY_ZONES, TOWN_BEGINNINGS, TOWN_ENDINGS, TOWN_MIDDLES

REGION_STATIONS = 10_000
_TOWNS_PER_STATION = 0.03
_TOWN_GRID_KM = 15.6  # towns stand one to a grid cell, off its middle: none on top of another, no visible raster
_RURAL_SHARE = 0.06  # of the stations stand on roads between towns
_MOTORWAY_SHARE_MAX = 0.04  # of the stations; only small worlds reach it
_EDGES_PER_REGION = 12  # stations at the date line, the poles and on zero, for the code that must bear them
_LAT_BAND_DEG = 2.4
_BANDS = 10  # 36 N to 60 N
_WEST, _EAST, _FAR_EAST = -10.0, 30.0, 165.0  # a million stations fill Europe; more go on eastwards
_REGION_WIDTH_KM = 285.0
_NEIGHBOUR_KM = 470.0  # centres of touching regions are nearer than this

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Town(NamedTuple):
    name: str
    lat: float
    lon: float
    stations: int
    sigma_km: float  # how far its stations scatter about the middle
    region: int
    postal_base: int


class Region(NamedTuple):
    number: int
    lat: float
    lon: float
    country: str  # alpha-2; alpha-3 is "X" before it
    zone: str
    stations: int
    rural: int
    edges: int
    towns: range
    links: range
    stops: tuple[Stop, ...]


class World(NamedTuple):
    stations: int
    seed: int
    regions: tuple[Region, ...]
    towns: tuple[Town, ...]
    links: tuple[Link, ...]

    def road(self, link: Link, step_km: float = 2.0) -> list[tuple[float, float]]:
        """The course of a link from a to b as (lat, lon): both towns' middles and a point about every `step_km`."""
        n = max(1, round(link.length_km / step_km))
        return [self.point_on(link, k / n) for k in range(n + 1)]

    def point_on(self, link: Link, t: float) -> tuple[float, float]:
        """A quadratic Bézier curve, t from 0 to 1; so slightly bent that t measures distance (motorways: within 2 %)."""
        a, b = self.towns[link.a], self.towns[link.b]
        d_lat, d_lon = b.lat - a.lat, b.lon - a.lon
        scale = lon_scale((a.lat + b.lat) / 2)
        off = 2 * t * (1 - t) * link.bend
        return round(a.lat + t * d_lat + off * d_lon * scale, 6), round(a.lon + t * d_lon - off * d_lat / scale, 6)


def plan(stations: int, seed: int = 1) -> World:
    """Raises ValueError for a world that the map cannot hold or a negative seed."""
    count = -(-stations // REGION_STATIONS)
    if stations < 0 or count > len(_cells()):
        raise ValueError(f"stations must be 0 to {len(_cells()) * REGION_STATIONS}, not {stations}")
    regions: list[Region] = []
    towns: list[Town] = []
    links: list[Link] = []
    for index, (lat, lon) in enumerate(_cells()[:count]):
        here = min(REGION_STATIONS, stations - index * REGION_STATIONS)
        sites, first = _sites(here, seed, index, lat, lon), len(towns)
        before = [r for r in regions if _distance_km(r, lat, lon) < _NEIGHBOUR_KM]
        if regions and not before:
            before = [min(regions, key=lambda r: _distance_km(r, lat, lon))]
        rng = uniform(seed, index, 1)
        new_links = lay_roads(rng, [(t.lat, t.lon) for t in towns], [r.towns for r in before], sites, lat)
        stops = place_stops(rng, new_links, len(links), int(here * _MOTORWAY_SHARE_MAX))
        rural, edges = (int(here * _RURAL_SHARE) if new_links else 0), here * _EDGES_PER_REGION // REGION_STATIONS
        towns += _towns(sites, here - rural - edges - len(stops), seed, index)
        links += new_links
        country, zone = _country(lat, lon)
        regions.append(
            Region(
                index, lat, lon, country, zone, here, rural, edges,
                range(first, len(towns)), range(len(links) - len(new_links), len(links)), stops,
            )
        )  # fmt: skip
    return World(stations, seed, tuple(regions), tuple(towns), tuple(links))


def query_points(world: World, n: int, seed: int = 1) -> list[tuple[float, float]]:
    """`n` distinct (lat, lon) where drivers are: a town by its size (the k-th largest of a region has 1/k of the
    largest: Zipf 1.0), then a place in it as its stations are placed. The same density at every size of the world."""
    sizes = np.array([town.stations for town in world.towns], np.int64)
    if not len(sizes):
        raise ValueError("an empty world has no place to ask for")
    ends = np.cumsum(sizes)
    rng = uniform(seed, 0, 3)
    found: dict[tuple[float, float], None] = {}
    while len(found) < n:
        of_town = np.searchsorted(ends, rng.random(n) * ends[-1], side="right")
        lat, lon = around(world, of_town, rng)
        found.update(dict.fromkeys(zip(lat.tolist(), lon.tolist(), strict=True)))
    return list(found)[:n]


def around(world: World, of_town: IntArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A place in each of these towns: a dense core and, one in five, a looser ring."""
    used, position = np.unique(of_town, return_inverse=True)
    table = np.array(
        [(t.lat, t.lon, t.sigma_km / KM_PER_DEGREE, lon_scale(t.lat)) for t in (world.towns[k] for k in used.tolist())]
    ).reshape(-1, 4)
    lat, lon, sigma, scale = table[position].T
    u = rng.random((9, len(of_town)))
    reach = sigma * np.where(u[8] < 0.8, 1.0, 2.0) * math.sqrt(3.0)
    # The sum of four uniforms is close to a normal deviate of variance 1/3 and, unlike one, exact on every machine.
    north, east = u[0] + u[1] + u[2] + u[3] - 2.0, u[4] + u[5] + u[6] + u[7] - 2.0
    return np.round(lat + reach * north, 6), np.round(lon + reach * east / scale, 6)


def uniform(seed: int, region: int, purpose: int) -> np.random.Generator:
    """An own stream for each purpose, so that a change of one draws nothing away from another."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, region, purpose])))


@cache
def _cells() -> list[tuple[float, float]]:
    """Centres of all regions in the order of settling."""
    cells = []
    for band in range(_BANDS):
        lat = round(36 + (band + 0.5) * _LAT_BAND_DEG, 4)
        columns = round((_EAST - _WEST) * lon_scale(lat) * KM_PER_DEGREE / _REGION_WIDTH_KM)
        step = (_EAST - _WEST) / columns
        cells += [(lat, round(_WEST + (k + 0.5) * step, 4)) for k in range(int((_FAR_EAST - _WEST) / step))]
    return sorted(cells, key=lambda c: (c[1] > _EAST, round((c[0] - 50) ** 2 + ((c[1] - 10) * 0.64) ** 2, 4), c))


def _country(lat: float, lon: float) -> tuple[str, str]:
    column, row = min(int((lon - _WEST) / 40 * 3), len(COUNTRY_ZONES) - 1), int((lat - 36) / 8)
    return "X" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(column * 3 + row) % 26], COUNTRY_ZONES[column]


def _distance_km(region: Region, lat: float, lon: float) -> float:
    x = (region.lon - lon) * lon_scale(round((region.lat + lat) / 2, 4))
    return KM_PER_DEGREE * math.sqrt(x * x + (region.lat - lat) ** 2)


def _sites(stations: int, seed: int, index: int, lat: float, lon: float) -> list[tuple[float, float]]:
    """Where the region's towns stand, the largest first. A region of fewer stations takes less room, not more space."""
    count = max(1, math.ceil(stations * _TOWNS_PER_STATION))
    side = math.ceil(math.sqrt(count * 1.08))
    u = uniform(seed, index, 0).random((3, side * side))
    chosen = np.argsort(u[0], kind="stable")[:count]
    row, column = np.divmod(chosen, side)
    degree = _TOWN_GRID_KM / KM_PER_DEGREE
    north = lat + (row + 0.5 - side / 2 + (u[1][:count] - 0.5) * 0.75) * degree
    east = lon + (column + 0.5 - side / 2 + (u[2][:count] - 0.5) * 0.75) * degree / lon_scale(lat)
    return list(zip(np.round(north, 5).tolist(), np.round(east, 5).tolist(), strict=True))


def _towns(sites: list[tuple[float, float]], stations: int, seed: int, index: int) -> list[Town]:
    u = uniform(seed, index, 2).random((3, len(sites)))
    weights = (0.9 + 0.2 * u[0]) / np.arange(1, len(sites) + 1)
    sizes = np.floor(stations * weights / math.fsum(weights.tolist())).astype(np.int64)  # np.sum's order may vary
    sizes[: stations - int(sizes.sum())] += 1
    towns = []
    for k, ((lat, lon), size) in enumerate(zip(sites, sizes.tolist(), strict=True)):
        name = _town_name(float(u[1][k]))
        towns.append(Town(name, lat, lon, size, round(0.36 * max(size, 1) ** 0.38, 3), index, int(u[2][k] * 90_000)))
    return towns


def _town_name(u: float) -> str:
    parts = []
    for words in (TOWN_BEGINNINGS, TOWN_MIDDLES, TOWN_ENDINGS):
        u *= len(words)
        parts.append(words[int(u)])
        u -= int(u)
    beginning, middle, ending = parts
    return f"{beginning}{middle.lower() if beginning and beginning[-1].isalpha() else middle}{ending}"
