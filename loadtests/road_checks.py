"""What answers about roads must hold: checks as those of `checks`, and what looks for degraded answers in every body."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loadtests.checks import Check, object_of

LIMIT = 10  # of stations by drive time, and along a line
MAX_DETOUR_S = 600
_DEGRADED = re.compile(rb'"degraded": ?true')  # never within a text: its quotes would be escaped there


def degraded(counts: Counter[str], of: str, *, is_fault: bool) -> Check:
    """Counts answers without drive times; each is a fault, or only counted."""

    def look(body: bytes, _: str) -> None:
        if _DEGRADED.search(body):
            counts[f"degraded: {of}"] += 1
            if is_fault:
                raise ValueError("a degraded answer")

    return look


def nearby(body: bytes, _: str) -> None:
    told = object_of(body)
    stations = _stations(told)
    if not {"degraded", "proven", "unreachable"} <= told.keys():
        raise ValueError("nearby by drive time says degraded, proven and unreachable")
    times = _members(stations, "drive_time_s")
    if told["degraded"]:
        if any(one is not None for one in times):
            raise ValueError("a degraded answer has no drive times")
        return
    if times != sorted(times, key=float):
        raise ValueError("nearby by drive time tells the soonest first")


def route(body: bytes, _: str) -> None:
    told = object_of(body)
    try:
        best, waypoints = told["routes"][0], told["waypoints"]
        seconds = [leg["duration_s"] for leg in best["legs"]]
        # Each is rounded for itself.
        whole = len(seconds) == len(waypoints) - 1 and abs(sum(seconds) - best["duration_s"]) <= len(seconds)
        whole = whole and bool(best["geometry"]) and best["distance_m"] >= 0
    except (LookupError, TypeError):
        raise ValueError("a route lacks a member") from None
    if not whole:
        raise ValueError("a route has a line, and a leg between two waypoints each")


def along(body: bytes, _: str) -> None:
    told = object_of(body)
    stations = _stations(told)
    if not {"degraded", "complete", "considered", "route"} <= told.keys():
        raise ValueError("along a route there are degraded, complete, considered and route")
    offsets, detours = _members(stations, "offset_m"), _members(stations, "detour_s")
    if offsets != sorted(offsets):
        raise ValueError("stations along a route come in the order of the drive")
    if told["degraded"] != (None in detours) and stations:
        raise ValueError("stations along a route have their detours, or the answer is degraded")
    if any(one is not None and not 0 <= one <= MAX_DETOUR_S for one in detours):
        raise ValueError("a detour is longer than was asked for")


def reachable(body: bytes, path: str) -> None:
    told = object_of(body)
    try:
        kind, lines = told["geometry"]["type"], told["geometry"]["coordinates"]
        minutes = told["properties"]["minutes"]
    except (LookupError, TypeError):
        raise ValueError("a reachable area is a Feature") from None
    if kind not in ("Polygon", "MultiPolygon") or not lines:
        raise ValueError("a reachable area is no area")
    if minutes != float(parse_qs(urlsplit(path).query)["minutes"][0]):
        raise ValueError("another time was asked for")


def _stations(told: dict[str, Any]) -> list[dict[str, Any]]:
    found = told.get("stations")
    if not isinstance(found, list) or len(found) > LIMIT:
        raise ValueError("the answer tells of at most as many stations as were asked for")
    return found


def _members(stations: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return [one[name] for one in stations]
    except (LookupError, TypeError):
        raise ValueError(f"a station lacks {name}") from None
