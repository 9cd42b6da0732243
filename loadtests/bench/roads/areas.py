"""The towns that are driven through: real roads with real or seeded stations where the data is at hand beside the repository,
else the generated world with its own roads.

Heidelberg has two German registers on it, which overlap: a station may stand there twice, as drivers of a real service may see
it. Milan has no register, so its stations are drawn about the middle, denser there, as a large town's are.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from loadtests.bench.processes import ROOT

DATA = ROOT.parent / "shared" / "data"
BNETZA, WOLADEN = "de/Ladesaeulenkarte_2019-07-19.xlsx", "de/fast_chargers_2026-02-20.csv.gz"
WOLADEN_COLUMNS = (
    "name=address,lat=lat,lon=lon,power_kw=max_individual_power_kw,evses=charging_points_count,operator=operator,"
    "id=station_id,city=city"
)
MILAN = (45.465, 9.19)
MILAN_STATIONS = 600
MILAN_SIGMA_DEG = (0.03, 0.045)  # some 3.3 km by 3.5 km
MILAN_COLUMNS = "id=id,name=name,lat=lat,lon=lon,power_kw=kw"
POWERS_KW = (11, 22, 50, 150)

Words = Sequence[str]
"""What follows `mapsvc`."""


class Area(NamedTuple):
    """`roads`: an extract; None: those of the generated world. `imports`: given a folder to write into, the commands that bring
    the stations in."""

    name: str
    title: str
    roads: Path | None
    imports: Callable[[Path], list[Words]]


def _german(data: Path) -> list[Words]:
    return [
        ("import", "bnetza", str(data / BNETZA)),
        ("import", "csv", str(data / WOLADEN), "--party", "woladen", "--country", "DE", "--map", WOLADEN_COLUMNS),
    ]


def _milanese(folder: Path) -> list[Words]:
    path = folder / "milan.csv"
    write_milan(path)
    return [("import", "csv", str(path), "--party", "seeded", "--country", "IT", "--map", MILAN_COLUMNS)]


def write_milan(path: Path, seed: int = 1) -> None:
    rng = random.Random(seed)  # noqa: S311 (a repeatable town, not a secret)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "name", "lat", "lon", "kw"))
        for k in range(MILAN_STATIONS):
            lat, lon = (round(rng.gauss(at, sigma), 6) for at, sigma in zip(MILAN, MILAN_SIGMA_DEG, strict=True))
            rows.writerow((f"M{k}", f"Stazione {k}", lat, lon, rng.choice(POWERS_KW)))


def _nothing(_: Path) -> list[Words]:
    return []


GENERATED = Area("generated", "the generated world and its roads", None, _nothing)


def found(data: Path = DATA) -> list[Area]:
    """Those whose files are there; the generated one if there are none."""
    roads = data / "roads"
    areas = [
        Area("heidelberg", "Heidelberg, German registers", roads / "heidelberg.osm.pbf", lambda _: _german(data)),
        Area("milan", f"Milan, {MILAN_STATIONS} seeded stations", roads / "milan.osm.pbf", _milanese),
    ]
    needed = {"heidelberg": (BNETZA, WOLADEN), "milan": ()}
    there = [
        area
        for area in areas
        if area.roads is not None
        and all(path.exists() for path in (area.roads, *(data / one for one in needed[area.name])))
    ]
    return there or [GENERATED]
