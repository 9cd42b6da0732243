"""What a parsed answer must hold. A check takes the body and the path that was asked for, and raises ValueError in words that
are the same for the same fault."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

from loadtests.mvt_check import check_tile

Check = Callable[[bytes, str], None]

NEARBY_LIMIT = 20
CONNECTOR, MIN_POWER_KW = "IEC_62196_T2_COMBO", 100


def plain(body: bytes, encoding: bytes) -> bytes:
    """The body without its Content-Encoding. Raises ValueError."""
    if not encoding or encoding == b"identity":
        return body
    if encoding != b"gzip":
        raise ValueError("an encoding that was not asked for")
    try:
        return zlib.decompress(body, 31)
    except zlib.error:
        raise ValueError("the body is no gzip") from None


def object_of(body: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        told = json.loads(body)
    except ValueError:
        raise ValueError("the body is no JSON") from None
    if not isinstance(told, dict):
        raise ValueError("the body is no JSON object")
    return told


def tile(body: bytes, _: str) -> None:
    check_tile(body)


def tilejson(body: bytes, _: str) -> None:
    told = object_of(body)
    if told.get("tilejson") != "3.0.0" or not told.get("tiles") or not told.get("vector_layers"):
        raise ValueError("no TileJSON 3.0.0 with tiles and vector_layers")


def station(body: bytes, path: str) -> None:
    told = object_of(body)
    if not {"id", "lat", "lon", "evses"} <= told.keys():
        raise ValueError("a station has id, lat, lon and evses")
    if told["id"] != path.rpartition("/")[2]:
        raise ValueError("another station was asked for")


def nearby(fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> Check:
    """A check for nearby answers whose stations all must fit the filter."""

    def check(body: bytes, _: str) -> None:
        stations = object_of(body).get("stations")
        if not isinstance(stations, list) or len(stations) > NEARBY_LIMIT:
            raise ValueError("nearby tells of at most as many stations as were asked for")
        try:
            metres = [float(one["distance_m"]) for one in stations]
            fitting = all(fits(one) for one in stations)
        except (LookupError, TypeError):
            raise ValueError("a station of nearby lacks a member") from None
        if metres != sorted(metres) or (metres and metres[0] < 0):
            raise ValueError("nearby tells the nearest first")
        if not fitting:
            raise ValueError("nearby tells only what fits the filter")

    return check


def has_power(told: dict[str, Any]) -> bool:
    return CONNECTOR in told["connectors"] and told["max_power_kw"] >= MIN_POWER_KW


def is_available(told: dict[str, Any]) -> bool:
    return bool(told["evses"]["available"] >= 1)
