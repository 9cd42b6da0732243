"""An independent reading of the real files: plain dictionaries and counting, nothing of the importers.

It knows only what it takes to count: where the list is, what is called what, and which position is none.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Count(NamedTuple):
    listed: int  # entries of the list, usable or not
    positions: dict[str, tuple[float, float]]  # by station id, of those with a usable position
    evses: int
    connectors: int
    unpublished: int
    statuses: Counter[str]


def read_ocpi(path: Path) -> Count:
    document: Any = json.loads(path.read_bytes().decode("utf-8-sig"))
    if isinstance(document, dict):
        document = document.get("data") or document.get("items") or [document]
    positions: dict[str, tuple[float, float]] = {}
    evses: list[dict[str, Any]] = []
    for location in document:
        place = location.get("coordinates") or location.get("position") or {}
        if "latitude" in place and "longitude" in place:
            positions[str(location["id"])] = float(place["latitude"]), float(place["longitude"])
            evses += location.get("evses") or location.get("outlets") or []
    connectors = sum(1 if "attributes" in evse else len(evse["connectors"]) for evse in evses)
    told = [status for evse in evses if (status := evse.get("status") or evse.get("nativeStatus"))]
    statuses = Counter("CHARGING" if status == "SUSPENDED_EV" else status for status in told)  # OCPP's word, one feed
    unpublished = sum(location.get("publish") is False for location in document)
    return Count(len(document), positions, len(evses), connectors, unpublished, statuses)


PLUGS = ("ef", "2", "combo_ccs", "chademo", "autre")


def irve_rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as lines:
        for line in lines:
            yield json.loads(line)


def read_irve(path: Path) -> Count:
    positions: dict[str, tuple[float, float]] = {}
    points: dict[str, set[str]] = defaultdict(set)
    connectors = listed = 0
    for row in irve_rows(path):
        lon, lat = json.loads(row["coordonneesXY"])
        positions[row["id_station_itinerance"]] = lat, lon
        points[row["id_station_itinerance"]].add(row["id_pdc_itinerance"])
        connectors += sum(row[f"prise_type_{name}"] == "True" for name in PLUGS)
        listed += 1
    evses = sum(len(ids) for ids in points.values())
    return Count(listed, positions, evses, connectors, 0, Counter())
