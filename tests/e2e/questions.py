"""What is asked of the real world: filters, places to stand, boxes. All seeded, all drawn from the data itself."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from tests.e2e.oracle import EVERYTHING, Oracle, Place, Wanted

DEFAULT_RADIUS_M, DEFAULT_LIMIT = 10_000.0, 20

SAME_CONNECTOR = Wanted(connector=("CHADEMO",), min_power_kw=100)
"""Most stations with a CHAdeMO plug have some plug of 100 kW, but few have it on that one."""

MIXED = Wanted(connector=("IEC_62196_T2_COMBO", "IEC_62196_T2"), max_power_kw=150, available=1, open_now=True)


def filters(oracle: Oracle) -> list[Wanted]:
    """No filter, every filter alone, and combinations."""
    standards = {
        c["standard"] for p in oracle.published.values() for e in p.points for c in e.doc.get("connectors", ())
    }
    ccs, type2 = ("IEC_62196_T2_COMBO",), ("IEC_62196_T2",)
    return [
        EVERYTHING,
        *(Wanted(connector=(standard,)) for standard in sorted(standards)),
        Wanted(connector=("CHADEMO", "GBT_DC", "DOMESTIC_F")),
        Wanted(min_power_kw=150),
        Wanted(max_power_kw=22),
        Wanted(min_power_kw=22.1, max_power_kw=50),
        Wanted(available=1),
        Wanted(available=2),
        Wanted(operator=("Allego",)),
        Wanted(operator=("ru*tbm", "FASTNED", "Stadtwerke Heilbronn")),
        Wanted(operator=("irve",), exclude_operator=("tesla",)),
        Wanted(exclude_operator=("irve",)),
        Wanted(exclude_operator=("Allego", "Power Dot France", "TR*OTO")),
        Wanted(facility=("RESTAURANT",)),
        Wanted(facility=("CAFE", "SUPERMARKET", "PARKING_LOT")),
        Wanted(open_now=True),
        SAME_CONNECTOR,
        MIXED,
        Wanted(connector=ccs, min_power_kw=50, available=1),
        Wanted(connector=type2, available=2),
        Wanted(connector=type2, min_power_kw=11, max_power_kw=22, exclude_operator=("irve",)),
        Wanted(operator=("RU*TBM",), open_now=True),
        Wanted(facility=("CAFE", "RESTAURANT"), available=1, open_now=True),
    ]


class Question(NamedTuple):
    """A nearby request; None: the default."""

    lat: float
    lon: float
    radius_m: float | None = None
    limit: int | None = None

    @property
    def query(self) -> str:
        more = {"radius_m": self.radius_m, "limit": self.limit}
        parts = [f"lat={self.lat!r}", f"lon={self.lon!r}"]
        return "&".join([*parts, *(f"{name}={value}" for name, value in more.items() if value is not None)])


def places_to_stand(oracle: Oracle, rng: random.Random) -> list[Question]:
    """Dense and sparse, on top of stations and far away from any; 310 of them."""
    places = sorted(oracle.published.values(), key=lambda place: place.num)
    feeds = [place for place in places if place.party != "irve"]
    standing = Counter((place.lat, place.lon) for place in places)
    shared = sorted(position for position, count in standing.items() if count > 1)

    def beside(place: Place, degrees: float) -> tuple[float, float]:
        lat, lon = place.lat + rng.uniform(-degrees, degrees), place.lon + rng.uniform(-degrees, degrees)
        return round(lat, 6), round(lon, 6)

    questions = [Question(*beside(rng.choice(places), 0.02)) for _ in range(70)]
    questions += [Question(*beside(rng.choice(feeds), 0.02)) for _ in range(70)]
    questions += [Question(*beside(rng.choice(feeds), 0.3), radius_m=50_000, limit=50) for _ in range(30)]
    questions += [Question(place.lat, place.lon, 2_000, 5) for place in rng.sample(places, 30)]  # zero metres
    questions += [Question(*at, radius_m=1, limit=3) for at in rng.sample(shared, 15)]  # ties, some cut by the limit
    questions += [Question(*at, limit=2) for at in rng.sample(shared, 15)]
    questions += [Question(*beside(rng.choice(places), 1), radius_m=200_000, limit=1) for _ in range(20)]
    questions += [Question(*beside(rng.choice(feeds), 1), radius_m=200_000, limit=100) for _ in range(20)]
    questions += [Question(*beside(rng.choice(places), 1), radius_m=123_456.7, limit=1000) for _ in range(3)]
    questions += [Question(rng.uniform(-90, 90), rng.uniform(-180, 180), 200_000) for _ in range(30)]
    edges = ((90, 0), (-90, 0), (0, 180), (0, -180), (61.957618, -180), (61.9, 170.2))
    questions += [Question(lat, lon, 200_000) for lat, lon in edges]
    return [*questions, Question(1.0, 1.0)]


Box = tuple[float, float, float, float]

WORLD: Box = (-180, -90, 180, 90)

BOXES: dict[str, Box] = {
    "the world": WORLD,
    "Paris": (2.1, 48.7, 2.6, 49.0),
    "Istanbul": (28.0, 40.5, 30.0, 41.6),
    "Siberia": (60, 50, 100, 62),
    "Heilbronn": (9.0, 49.0, 9.5, 49.3),
    "across the antimeridian, Chukotka and America": (160, -90, -100, 90),
    "across the antimeridian, all but the Atlantic": (20, -60, -40, 80),
    "nothing but the antimeridian": (180, -90, -180, 90),
    "the Southern Ocean": (-180, -90, 180, -60),
}


def boxes_of_one_position(oracle: Oracle) -> list[Box]:
    """Without width or height: edges belong to the box."""
    places = sorted(oracle.published.values(), key=lambda place: (place.lon, place.num))
    return [(p.lon, p.lat, p.lon, p.lat) for p in (places[0], places[len(places) // 2], places[-1])]
