"""What stands at a synthetic station: kinds of charging posts, and how many of which kind a site has.

Shares follow Europe's stock: two in three sites are a post or two of 11-22 kW AC; fast sites have more points.
Connectors are immutable and equal for all posts of a kind and operator, so a million stations share a thousand of them.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from geo.station import Connector, connector_power_kw
from mapsvc.generate_ground import MOTORWAY, RURAL, TOWN
from mapsvc.generate_plan import IntArray

EVSES_PER_STATION = 3

_T2, _CCS = "IEC_62196_T2", "IEC_62196_T2_COMBO"
_AC3, _AC1 = "AC_3_PHASE", "AC_1_PHASE"


class Plug(NamedTuple):
    standard: str
    format: str
    power_type: str
    voltage: int
    amperage: int
    watts: int | None = None  # None: feeds often leave it out, and it must be derived


class Post(NamedTuple):
    """One EVSE's plugs; `tariff` is the kind of price, and DC has the payment terminals."""

    tariff: str
    plugs: tuple[Plug, ...]


def _dc(standard: str, volts: int, amperes: int, kw: int) -> Plug:
    return Plug(standard, "CABLE", "DC", volts, amperes, kw * 1000)


_TYPE2_22 = Plug(_T2, "SOCKET", _AC3, 230, 32, 22_000)
_SCHUKO = Plug("DOMESTIC_F", "SOCKET", _AC1, 230, 16)

AC22 = Post("AC", (_TYPE2_22,))
AC22_DERIVED = Post("AC", (Plug(_T2, "SOCKET", _AC3, 230, 32),))
AC11 = Post("AC", (Plug(_T2, "CABLE", _AC3, 230, 16, 11_000),))
AC7 = Post("AC", (Plug(_T2, "SOCKET", _AC1, 230, 32),))
AC22_SCHUKO = Post("AC", (_TYPE2_22, _SCHUKO))
SCHUKO = Post("AC", (_SCHUKO,))
DC50 = Post("DC", (_dc(_CCS, 500, 125, 50), _dc("CHADEMO", 500, 125, 50)))
DC50_AC43 = Post("DC", (*DC50.plugs, Plug(_T2, "CABLE", _AC3, 230, 63, 43_000)))
HPC150 = Post("HPC", (_dc(_CCS, 920, 400, 150),))
HPC150_CHADEMO = Post("HPC", (_dc(_CCS, 920, 400, 150), _dc("CHADEMO", 500, 200, 100)))
HPC300 = Post("HPC", (_dc(_CCS, 1000, 500, 300),))
HPC400 = Post("HPC", (_dc(_CCS, 1000, 500, 400), _dc(_CCS, 1000, 500, 400)))
TESLA = Post("HPC", (_dc("TESLA_S", 410, 330, 120),))
NEMA = Post("AC", (Plug("NEMA_5_20", "SOCKET", _AC1, 120, 16),))
CHAOJI = Post("HPC", (_dc("CHAOJI", 1000, 600, 500),))
MEGAWATT = Post("HPC", (_dc("MCS", 1250, 800, 1000), _dc(_CCS, 1000, 500, 400)))  # MCS: OCPI 2.3.0


class Site(NamedTuple):
    """`counts` lists equally likely numbers of posts; of every `second_every` posts one is of the `second` kind."""

    weight: float
    post: Post
    counts: tuple[int, ...]
    second: Post | None = None
    second_every: int = 1


_FEW = (1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 6, 6, 8)
_FAST = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4)
_HUB = (2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 6, 6, 6, 6, 8, 8, 12, 12)
_MOTORWAY = (6, 6, 6, 6, 8, 8, 8, 8, 8, 10, 10, 10, 12, 12, 12, 14, 14, 16, 18, 20)

TOWN_SITES = (
    Site(40.0, AC22, _FEW),
    Site(8.0, AC22_DERIVED, _FEW),
    Site(17.2, AC11, _FEW),
    Site(3.0, AC7, _FEW),
    Site(7.0, AC22_SCHUKO, _FEW),
    Site(1.5, SCHUKO, _FEW),
    Site(7.0, DC50, _FAST, AC22, 2),
    Site(5.0, DC50_AC43, _FAST),
    Site(4.0, HPC150, _HUB, AC22, 4),
    Site(1.2, HPC150_CHADEMO, _HUB),
    Site(2.5, HPC300, _HUB),
    Site(1.3, HPC400, _HUB),
    Site(0.8, TESLA, _HUB),
    Site(0.4, NEMA, _FEW),
    Site(0.3, CHAOJI, _FAST),
    Site(0.3, MEGAWATT, _FAST, HPC400, 2),
)
RURAL_SITES = (Site(80.0, AC22, (1, 1, 2, 2)), Site(15.0, AC11, (1, 2)), Site(5.0, SCHUKO, (1,)))
MOTORWAY_SITES = (
    Site(40.0, HPC300, _MOTORWAY),
    Site(30.0, HPC150, _MOTORWAY, DC50_AC43, 6),
    Site(25.0, HPC400, _MOTORWAY, HPC150_CHADEMO, 5),
    Site(5.0, HPC400, _MOTORWAY, MEGAWATT, 8),
)
GARAGE = Site(0.0, AC11, tuple(range(80, 161)), HPC150, 12)
_STATIONS_PER_GARAGE = 2_000  # the rare very large car park

_PLAIN_SITES = 6  # the first of TOWN_SITES: AC only
SITES = (*TOWN_SITES, *RURAL_SITES, *MOTORWAY_SITES, GARAGE)
_SITES_OF_KIND = {TOWN: TOWN_SITES, RURAL: RURAL_SITES, MOTORWAY: MOTORWAY_SITES}
_DRAWS = 1_620  # a multiple of every length of `counts`: all of a site's counts stay equally likely
_COUNTS = np.array([[site.counts[k * len(site.counts) // _DRAWS] for k in range(_DRAWS)] for site in SITES])


def choose_sites(kind: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """For each station the index of its site in SITES and its number of EVSEs, three on average to the unit.

    The drawn total is off by a percent or so; stations of a few AC posts give or take one until it fits.
    """
    u = rng.random((2, len(kind)))
    chosen = np.zeros(len(kind), np.int64)
    for of_kind, sites in _SITES_OF_KIND.items():
        ends = np.cumsum([site.weight for site in sites])
        here = kind == of_kind
        chosen[here] = SITES.index(sites[0]) + np.searchsorted(ends, u[0][here] * ends[-1], side="right")
    in_town = np.flatnonzero(kind == TOWN)
    garages = len(kind) // _STATIONS_PER_GARAGE
    chosen[in_town[np.arange(garages) * len(in_town) // max(garages, 1)]] = len(SITES) - 1
    counts = _COUNTS[chosen, (u[1] * _DRAWS).astype(np.int64)]
    while missing := EVSES_PER_STATION * len(kind) - int(counts.sum()):
        step = 1 if missing > 0 else -1
        small = np.flatnonzero((chosen < _PLAIN_SITES) & (counts + step >= 1) & (counts + step <= 6))
        if not len(small):  # a world of a few stations
            small = np.flatnonzero(counts + step >= 1)
        counts[small[: abs(missing)]] += step
    return chosen, counts


@cache
def connectors(post: Post, party: str) -> tuple[Connector, ...]:
    tariffs = (f"{party[3:]}-{post.tariff}",)
    return tuple(
        Connector(
            id=str(k),
            standard=plug.standard,
            format=plug.format,
            power_type=plug.power_type,
            max_voltage=plug.voltage,
            max_amperage=plug.amperage,
            max_electric_power=plug.watts,
            power_kw=connector_power_kw(plug.power_type, plug.voltage, plug.amperage, plug.watts),
            tariff_ids=tariffs,
        )
        for k, plug in enumerate(post.plugs, 1)
    )
