"""Valhalla asked directly, without our service: the yardstick, and what the oracle computes with. Its HTTP API:
https://valhalla.github.io/valhalla/api/"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from loadtests.bench.questions import Point, metres
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.roads.asking import Caller, Question, post
from loadtests.bench.snapshot import Floats, Ints

STATION_CUTOFF_M, ORIGIN_CUTOFF_M = 1_000, 2_000  # how far off a road the service lets a station and a driver be
LOCATED_AT_ONCE = 200
COSTING = {"costing": "auto"}

Location = Mapping[str, Any]


class Places(NamedTuple):
    """Stations, one a row."""

    ids: tuple[str, ...]
    lat: Floats
    lon: Floats

    def those(self, rows: Ints) -> Places:
        return Places(tuple(self.ids[row] for row in rows.tolist()), self.lat[rows], self.lon[rows])

    def within(self, at: Point, radius_m: float) -> Ints:
        """Rows, the nearest first."""
        away = metres(self, at)
        rows: Ints = np.flatnonzero(away <= radius_m)
        return rows[np.argsort(away[rows], kind="stable")]

    def locations(self, rows: Ints | slice = slice(None)) -> list[Location]:
        pairs = zip(self.lat[rows].tolist(), self.lon[rows].tolist(), strict=True)
        return [{"lat": lat, "lon": lon, "search_cutoff": STATION_CUTOFF_M} for lat, lon in pairs]


def origin(at: Point) -> Location:
    return {"lat": at[0], "lon": at[1], "search_cutoff": ORIGIN_CUTOFF_M}


def matrix(at: Point, targets: Sequence[Location], **more: Any) -> Question:
    members = {"sources": [origin(at)], "targets": targets, "units": "km", "verbose": False}
    return post("/sources_to_targets", **members, **COSTING, **more)


def times(body: bytes) -> list[float | None]:
    """Of a matrix, in the order of its targets."""
    found: list[float | None] = orjson.loads(body)["sources_to_targets"]["durations"][0]
    return found


def route(locations: Sequence[Location], directions: str = "instructions") -> Question:
    return post(
        "/route", locations=locations, units="km", language="en-US", directions_type=directions, **COSTING
    )  # fmt: skip


def isochrone(at: Point, minutes: float) -> Question:
    return post("/isochrone", locations=[origin(at)], contours=[{"time": minutes}], polygons=True, **COSTING)


def tile(z: int, x: int, y: int) -> Question:
    return Question("/tile?json=" + urllib.parse.quote(orjson.dumps({"tile": {"z": z, "x": x, "y": y}})))


def version(caller: Caller) -> str:
    return str(orjson.loads(caller.ask(Question("/status")))["version"])


def on_road(caller: Caller, places: Places) -> Places:
    """Those that a car may be driven to: with a road near enough."""
    found = [row for some in _slices(len(places.ids)) for row in _located(caller, places, some)]
    return places.those(np.array(found, np.int64))


def _located(caller: Caller, places: Places, some: slice) -> list[int]:
    asked = post("/locate", locations=places.locations(some), verbose=False, **COSTING)
    try:
        told = orjson.loads(caller.ask(asked))
    except WrongAnswerError:  # near none of them
        return []
    return [some.start + k for k, one in enumerate(told) if one.get("edges")]


def _slices(count: int) -> Iterator[slice]:
    return (slice(first, min(count, first + LOCATED_AT_ONCE)) for first in range(0, count, LOCATED_AT_ONCE))


def detour_s(caller: Caller, ends: Sequence[Location], stop: Location) -> float | None:
    """What a stop adds to the way between two ends; None: no way leads by it."""
    direct, by = _drive_s(caller, ends), _drive_s(caller, [ends[0], stop, ends[1]])
    return None if direct is None or by is None else max(0.0, by - direct)


def _drive_s(caller: Caller, locations: Sequence[Location]) -> float | None:
    without = [{name: value for name, value in one.items() if not name.startswith("heading")} for one in locations]
    for some in (locations, without):  # no edge of that heading: the line is a rough one
        try:
            return float(orjson.loads(caller.ask(route(some, "none")))["trip"]["summary"]["time"])
        except WrongAnswerError:
            continue
    return None
