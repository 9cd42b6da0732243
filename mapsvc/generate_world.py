"""The seeded synthetic world: stations on the towns and roads of `generate_plan`.

`generate(stations, seed)` yields the same stations on every machine, region by region, in bounded memory; the golden
hash in tests/mapsvc/test_generate_world.py guards it. Every region has three EVSEs a station exactly, and its share of
what real feeds surprise with: huge car parks, stations on one spot, odd names and ids, the date line and the poles.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from geo.station import Connector, Evse, Hours, Located, Station, Status, StatusReport
from mapsvc import generate_words as words
from mapsvc.generate_ground import MOTORWAY, lay_ground
from mapsvc.generate_plan import REGION_STATIONS, Region, Town, World, plan, uniform
from mapsvc.generate_posts import SITES, choose_sites, connectors

_T = TypeVar("_T")
_FIRST_UPDATE_MS = 1_735_689_600_000  # 2025-01-01; the last updates lie in the 300 days after it
_UPDATE_SPAN_MS = 300 * 86_400_000
_NOWHERE = Town("", 0.0, 0.0, 0, 0.0, -1, 0)
_OPERATOR_ENDS = np.cumsum(1 / np.arange(1, len(words.OPERATORS) + 1))  # Zipf 1.0

_STATUS_SHARES = (
    (Status.AVAILABLE, 62, 7_200), (Status.CHARGING, 25, 1_500), (Status.OUTOFORDER, 6, 172_800),
    (Status.INOPERATIVE, 3, 604_800), (Status.RESERVED, 2, 600), (Status.UNKNOWN, 2, 14_400),
)  # fmt: skip
"""Status, percent, and how long it has lasted on average (s)."""
_STATUSES = [status for status, _, _ in _STATUS_SHARES]
_STATUS_ENDS = np.cumsum([percent for _, percent, _ in _STATUS_SHARES]).tolist()
_STATUS_LASTS_S = {status: lasts_s for status, _, lasts_s in _STATUS_SHARES}


def generate(stations: int, seed: int = 1) -> Iterator[Located]:
    """Without statuses: see `statuses`. Raises ValueError as `plan` does."""
    return populate(plan(stations, seed))


def populate(world: World) -> Iterator[Located]:
    """The stations of a plan; one station alone depends on its region, not on those before it."""
    for region in world.regions:
        yield from _stations(world, region)


def statuses(located: Located, rng: random.Random, now_ms: int) -> tuple[StatusReport, ...]:
    """A plausible live status for each EVSE, begun some while ago."""
    drawn = rng.choices(_STATUSES, cum_weights=_STATUS_ENDS, k=len(located.station.evses))
    return tuple(
        StatusReport(evse.uid, status, now_ms - int(1000 * _STATUS_LASTS_S[status] * rng.expovariate(1.0)))
        for evse, status in zip(located.station.evses, drawn, strict=True)
    )


def _stations(world: World, region: Region) -> Iterator[Located]:
    rng = uniform(world.seed, region.number, 4)
    n = region.stations
    ground = lay_ground(world, region, rng)
    sites, counts = choose_sites(ground.kind, rng)
    operators = np.searchsorted(_OPERATOR_ENDS, rng.random(n) * _OPERATOR_ENDS[-1], side="right")
    rows = zip(
        range(region.number * REGION_STATIONS, region.number * REGION_STATIONS + n),
        *(column.tolist() for column in (*ground, sites, counts, operators)),
        *rng.random((13, n)).tolist(),
        strict=True,
    )
    for number, kind, lat, lon, at_town, site, count, rank, *u in rows:
        fast = SITES[site].post.tariff == "HPC"
        operator = rank - rank % 3 if fast else rank  # fast charging is some operators' business
        by = words.OPERATORS[operator]
        updated_ms = _FIRST_UPDATE_MS + int(u[0] * _UPDATE_SPAN_MS)
        hours, hours_text = _hours(u[1], u[2])
        town = world.towns[at_town] if at_town >= 0 else _NOWHERE
        place = _pick(words.PLACES, u[3])
        parking = "ALONG_MOTORWAY" if kind == MOTORWAY else _pick(words.PARKING_TYPES, u[4])
        yield Located(
            Station(
                party=by.party,
                location_id=_location_id(by.ids, number, region.country),
                lat=lat,
                lon=lon,
                last_updated_ms=updated_ms,
                evses=_evses(operator, site, count, number, updated_ms, u[5], parking),
                publish=number % 1000 != 500,
                name=_name(number, by.name, town.name, place),
                address=f"{_pick(words.STREETS, u[6])} {1 + int(u[3] * u[6] * 180)}",
                city=town.name or None,
                postal_code=f"{10_000 + (town.postal_base + int(u[3] * 20)) % 90_000}" if town.name else None,
                country=f"X{region.country}",
                parking_type=parking,
                operator=by.name,
                owner=f"Stadtwerke {town.name}" if u[10] < 0.1 and town.name else None,
                operator_website=by.website,
                operator_phone=by.phone,
                facilities=_pick(words.MOTORWAY_FACILITIES if kind == MOTORWAY else words.FACILITIES, u[7]),
                time_zone=region.zone if u[8] < 0.8 and town.name else None,
                opening_times=hours,
                opening_times_text=hours_text,
                charging_when_closed=u[11] < 0.5 if hours is not None and u[9] < 0.2 else None,
                green_energy=True if u[12] < 0.4 else None,
                source="generate",
            )
        )


def _evses(
    operator: int, site: int, count: int, number: int, updated_ms: int, u: float, parking: str | None
) -> tuple[Evse, ...]:
    by = words.OPERATORS[operator]
    first, second = _outfit(operator, site)
    second_every = SITES[site].second_every
    fast = SITES[site].post.tariff != "AC"
    capabilities = _pick(words.FAST_CAPABILITIES if fast else words.CAPABILITIES, u)
    restrictions = _pick(words.RESTRICTIONS, u)
    floor_level = "-1" if parking == "UNDERGROUND_GARAGE" else None
    evses = []
    for k in range(1, count + 1):
        evse_id = f"{by.party}*E{number:07d}*{k}"
        evses.append(
            Evse(
                uid=_uid(by.ids, evse_id, number, k),
                evse_id=evse_id if number % 300 else None,
                connectors=second if second and k % second_every == 0 else first,
                capabilities=capabilities,
                floor_level=floor_level,
                physical_reference=str(k) if count > 4 else None,
                parking_restrictions=restrictions,
                last_updated_ms=updated_ms if by.ids == 3 else None,
            )
        )
    return tuple(evses)


@cache
def _outfit(operator: int, site: int) -> tuple[tuple[Connector, ...], tuple[Connector, ...]]:
    party, second = words.OPERATORS[operator].party, SITES[site].second
    return connectors(SITES[site].post, party), () if second is None else connectors(second, party)


def _hours(u: float, v: float) -> tuple[Hours | None, str | None]:
    """70 % round the clock, 20 % with hours, 10 % unknown, half of these told in prose."""
    if u < 0.7:
        return words.ROUND_THE_CLOCK, None
    if u < 0.9:
        return _pick(words.SCHEDULES, v), None
    return None, _pick(words.HOURS_IN_WORDS, v) if u < 0.95 else None


def _name(number: int, operator: str, town: str, place: str) -> str:
    if number % 200 == 7:
        return words.ODD_NAMES[number // 200 % len(words.ODD_NAMES)]
    return f"{town} {place}" if number % 3 else f"{operator} {town}".rstrip()


def _location_id(style: int, number: int, country: str) -> str:
    """At most 36 characters, unique whatever the style; one in 200 needs percent-encoding."""
    if number % 200 == 107:
        return words.ODD_IDS[number // 200 % len(words.ODD_IDS)].format(number)
    match style:
        case 0:
            return f"{number:08d}"
        case 1:
            return f"LOC-{number:06X}"
        case 2:
            mixed = number * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF
            return f"{mixed >> 16:08x}-{mixed & 0xFFFF:04x}-4e5c-a1b2-{number:012x}"
        case _:
            return f"{country}-{number}"


def _uid(style: int, evse_id: str, number: int, k: int) -> str:
    """Unique within its station; style 1 repeats itself from station to station, as OCPI allows."""
    match style:
        case 0:
            return evse_id
        case 1:
            return str(k)
        case 2:
            return f"{number:07d}-{k}"
        case _:
            return evse_id.replace("*", "")


def _pick(choices: Sequence[_T], u: float) -> _T:
    return choices[int(u * len(choices))]
