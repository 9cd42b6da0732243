"""What answers about roads must be, from Valhalla asked directly about all there is. Pure.

Valhalla's matrix tells whole seconds, so several stations may be equally near: sets are compared by their times. It cuts what
is behind the point, and the service asks with where a station meets its road, known to 0.1 m: 645.000 s may be 644.992 s, and
is 644 then (seen at woladen~1255b0b1aa4a9696 in Heidelberg). So a time may be CUT_S off; how many are is counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import mapbox_vector_tile
import orjson

from geo.corridor import Line
from geo.point import LatLon
from geo.polyline import decode
from loadtests.bench.results import WrongAnswerError

LIMIT = 10
PRECISION = 6
EDGES = "edges"
CUT_S = 1
ROUNDED_S = 0.6  # half a second, and what a tenth of a metre takes

Seconds = Mapping[str, float]
"""By station, those that a road leads to."""


def soonest(seconds: Iterable[float], count: int = LIMIT) -> list[float]:
    return sorted(seconds)[:count]


def missed(best: Sequence[float], told: Sequence[float]) -> int:
    """How many of the soonest are not among what was told."""
    return (Counter(best) - Counter(told)).total()


class Compared(NamedTuple):
    """`off`: how many times are CUT_S off."""

    is_proven: bool
    off: int


def check_drive_times(who: str, body: bytes, every: Seconds) -> Compared:
    """Each time must be right, and an answer that says that it is proven must hold the soonest of all. WrongAnswerError."""
    told = orjson.loads(body)
    times = [station["drive_time_s"] for station in told["stations"]]
    ids = [station["id"] for station in told["stations"]]
    if times != sorted(times) or len(set(ids)) != len(ids):
        raise WrongAnswerError(f"{who}: out of order, or a station twice: {times}")
    right = [every.get(one, math.inf) for one in ids]
    for one, seconds, true in zip(ids, times, right, strict=True):
        if abs(true - seconds) > CUT_S:
            raise WrongAnswerError(f"{who}: {one} is {true} s away, not {seconds}")
    best = soonest(every.values())
    is_best = len(times) == len(best) and all(abs(a - b) <= CUT_S for a, b in zip(times, best, strict=True))
    if told["proven"] and not is_best:
        raise WrongAnswerError(f"{who}: proven to be {times}, and the soonest are {best}")
    return Compared(bool(told["proven"]), sum(a != b for a, b in zip(times, right, strict=True)))


def is_degraded(body: bytes) -> bool:
    return bool(orjson.loads(body)["degraded"])


def check_route(who: str, ours: bytes, theirs: bytes) -> None:
    route, trip = orjson.loads(ours)["routes"][0], orjson.loads(theirs)["trip"]
    if route["duration_s"] != round(trip["summary"]["time"]) or route["geometry"] != trip["legs"][0]["shape"]:
        raise WrongAnswerError(f"{who}: a route of {route['duration_s']} s, and Valhalla's {trip['summary']['time']} s")


def check_area(who: str, ours: bytes, theirs: bytes) -> None:
    if orjson.loads(ours)["geometry"] != orjson.loads(theirs)["features"][0]["geometry"]:
        raise WrongAnswerError(f"{who}: another area than Valhalla's")


def check_tile(who: str, ours: bytes, theirs: bytes) -> int:
    """How many roads it has."""
    told, expected = (mapbox_vector_tile.decode(body) if body else {} for body in (ours, theirs))
    if told.get(EDGES) != expected.get(EDGES) or told.keys() - {EDGES}:
        raise WrongAnswerError(f"{who}: other roads than Valhalla's, or other layers: {sorted(told)}")
    return len(told.get(EDGES, {"features": []})["features"])


# -- along a line -------------------------------------------------------------------------------------------------------------


def line_of(polyline: str) -> Line:
    return Line(*decode(polyline, PRECISION))


def ends(line: Line, heading_m: float, tolerance_deg: int) -> list[dict[str, Any]]:
    """The line's two ends as Valhalla's locations, on the carriageway that the line is on."""
    length_m = line.length_m
    found = []
    for at, before, behind in ((0.0, 0.0, heading_m), (length_m, length_m - heading_m, length_m)):
        here, a, b = line.at(at), line.at(max(0.0, before)), line.at(min(length_m, behind))
        found.append({"lat": here.lat, "lon": here.lon, "heading": _heading(a, b), "heading_tolerance": tolerance_deg})
    return found


def _heading(a: LatLon, b: LatLon) -> int:
    """Degrees clockwise from north."""
    east = (b.lon - a.lon) * math.cos(math.radians((a.lat + b.lat) / 2))
    return round(math.degrees(math.atan2(east, b.lat - a.lat))) % 360


def check_along(who: str, body: bytes, detours: Seconds, most_s: float) -> None:
    """`detours`: of all stations beside the line. Ours are rounded, from positions known to 0.1 m; none is left out for want of
    room."""
    told = orjson.loads(body)
    found = {station["id"]: station["detour_s"] for station in told["stations"]}
    for one, seconds in found.items():
        right = detours.get(one)
        if right is None or abs(right - seconds) > ROUNDED_S:
            raise WrongAnswerError(f"{who}: a detour of {seconds} s to {one}, not {right}")
    lacking = {one for one, seconds in detours.items() if seconds <= most_s} - found.keys()
    if told["complete"] and lacking:
        raise WrongAnswerError(f"{who}: {len(lacking)} stations beside the line are missing, {min(lacking)} among them")
