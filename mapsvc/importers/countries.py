"""Countries: their codes, and in which of them a position lies, as far as time zones tell (offline, by tzfpy).

The polygons of time zones are coarse near borders and coasts. Hence a position counts as outside a country only when
everything within `MARGIN_DEG` around it is outside too.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import tzfpy

from mapsvc.importers.report import Reason

TABLE = Path(__file__).with_name("countries.tsv")
MARGIN_DEG = 0.2  # some 20 km: more than tzfpy's simplification of borders and than most ferries' piers

# Territories with a code of their own that registers also file under the state they belong to.
BELONGING = {
    "CHN": "HKG MAC TWN",
    "DNK": "FRO GRL",
    "FIN": "ALA",
    "FRA": "ATF BLM GLP GUF MAF MTQ MYT NCL PYF REU SPM WLF",
    "GBR": "GGY GIB IMN JEY",
    "ISR": "PSE",
    "NLD": "ABW BES CUW SXM",
    "NOR": "SJM",
    "SRB": "XKX",
    "USA": "ASM GUM MNP PRI VIR",
}


class _Table(NamedTuple):
    alpha3: dict[str, str]  # by alpha-2 and alpha-3 code
    by_zone: dict[str, frozenset[str]]  # alpha-3 codes by IANA zone
    zoned: frozenset[str]  # alpha-3 codes of the countries that have a zone (two uninhabited islands have none)


@cache
def _table() -> _Table:
    alpha3: dict[str, str] = {}
    by_zone: dict[str, frozenset[str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            two, three, zones = line.split("\t")
            alpha3 |= {two: three, three: three}
            for zone in zones.split():
                by_zone[zone] = by_zone.get(zone, frozenset()) | {three}
    return _Table(alpha3, by_zone, frozenset().union(*by_zone.values()))


def alpha3(code: str) -> str | None:
    """The ISO 3166-1 alpha-3 code of an alpha-2 or alpha-3 code in any case; None when there is no such country."""
    return _table().alpha3.get(code.upper())


def countries_at(lat: float, lon: float) -> frozenset[str]:
    """The countries (alpha-3) that a position may lie in: mostly one, none on the high seas."""
    return _table().by_zone.get(tzfpy.get_tz(lon, lat), frozenset())


def doubt(lat: float, lon: float, country: str) -> Reason | None:
    """Why the position cannot be right for a station in `country` (alpha-3), or None.

    SWAPPED: it lies outside, and with latitude and longitude exchanged it would lie inside.
    """
    accepted = {country, *BELONGING.get(country, "").split()}
    if country not in _table().zoned or _near(lat, lon, accepted):
        return None
    if abs(lon) <= 90 and countries_at(lon, lat) & accepted:
        return Reason.SWAPPED
    return Reason.OUTSIDE_COUNTRY


def _near(lat: float, lon: float, accepted: set[str]) -> bool:
    if countries_at(lat, lon) & accepted:
        return True
    steps = (-MARGIN_DEG, 0.0, MARGIN_DEG)
    around = ((max(-90.0, min(90.0, lat + i)), (lon + j + 540.0) % 360.0 - 180.0) for i in steps for j in steps)
    return any(countries_at(*position) & accepted for position in around)
