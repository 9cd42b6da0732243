"""Other forms of an answer than the plain one: chosen members, GeoJSON (RFC 7946).

Made from the rendered bytes of the plain answer, so they cannot say anything else than it does, and the plain answer pays
nothing for them: a station costs some 3 µs more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson


class Shape(NamedTuple):
    fields: frozenset[str] | None = None  # members of a station besides `id`; None: all
    geojson: bool = False


PLAIN = Shape()
NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


def shaped_station(body: bytes, shape: Shape) -> bytes:
    return body if shape == PLAIN else orjson.dumps(_shaped(orjson.loads(body), shape))


def shaped_list(items: bytes, shape: Shape, excluded: int | None, more: Mapping[str, Any] = NOTHING_MORE) -> bytes:
    """`items`: JSON objects joined by commas, one a station;
    `excluded`: what `excluded_unknown_hours` says, None where it is not told; `more`: members of the list besides."""
    if shape == PLAIN and not more:
        if excluded is None:
            return b'{"stations":[%b]}' % items
        return b'{"stations":[%b],"excluded_unknown_hours":%d}' % (items, excluded)
    told = dict(more) if excluded is None else {"excluded_unknown_hours": excluded, **more}
    if shape == PLAIN:
        return b'{"stations":[%b],%b' % (items, orjson.dumps(told)[1:])
    found = [_shaped(station, shape) for station in orjson.loads(b"[%b]" % items)]
    body: dict[str, Any] = {"type": "FeatureCollection", "features": found} if shape.geojson else {"stations": found}
    return orjson.dumps(body | told)


def with_members(items: list[bytes], more: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON objects, each with members added at its end, joined by commas."""
    return b",".join(
        b"%b,%b" % (item[:-1], orjson.dumps(members)[1:]) for item, members in zip(items, more, strict=True)
    )


def _shaped(station: dict[str, Any], shape: Shape) -> dict[str, Any]:
    place = station["lon"], station["lat"]
    if shape.fields is not None:
        station = {name: value for name, value in station.items() if name == "id" or name in shape.fields}
    if not shape.geojson:
        return station
    station.pop("lat", None)
    station.pop("lon", None)
    return {
        "type": "Feature",
        "id": station.pop("id"),
        "geometry": {"type": "Point", "coordinates": place},
        "properties": station,
    }
