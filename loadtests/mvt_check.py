"""Is it a vector tile? A walk through the bytes by the Mapbox Vector Tile specification 2.1, section 4, and no further: what a
map would stumble over is found, names and values are not judged. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LAYER = 3
NAME, FEATURE, KEY, VALUE, EXTENT, VERSION = 1, 2, 3, 4, 5, 15
TAGS, TYPE, GEOMETRY = 2, 3, 4
POINT = 1
MOVE_TO_ONE = 9  # command 1, count 1


def check_tile(data: bytes) -> int:
    """How many features the tile has. Raises ValueError. No bytes are a tile without layers."""
    names: set[bytes] = set()
    features = 0
    for number, wire, value in _fields(memoryview(data)):
        if number != LAYER or wire != BYTES or not isinstance(value, memoryview):
            raise ValueError("a tile holds layers and nothing else")
        name, count = _layer(value)
        if name in names:
            raise ValueError("two layers have one name")
        names.add(name)
        features += count
    return features


def _layer(data: memoryview) -> tuple[bytes, int]:
    name, version, extent, keys, values = b"", 0, 4096, 0, 0
    features: list[memoryview] = []
    for number, _, value in _fields(data):
        if isinstance(value, memoryview):
            if number == NAME:
                name = bytes(value)
            elif number == FEATURE:
                features.append(value)
            elif number == KEY:
                keys += 1
            elif number == VALUE:
                values += 1
        elif number == VERSION:
            version = value
        elif number == EXTENT:
            extent = value
    if not name or version != 2 or not features:
        raise ValueError("a layer has a name, version 2 and at least one feature")
    for feature in features:
        _feature(feature, keys, values, extent)
    return name, len(features)


def _feature(data: memoryview, keys: int, values: int, extent: int) -> None:
    found = {number: value for number, _, value in _fields(data)}
    tags, geometry = (
        list(_varints(part)) if isinstance(part := found.get(n), memoryview) else [] for n in (TAGS, GEOMETRY)
    )
    if len(tags) % 2 or any(key >= keys for key in tags[0::2]) or any(value >= values for value in tags[1::2]):
        raise ValueError("a feature's tags do not fit the layer's keys and values")
    if not geometry:
        raise ValueError("a feature has no geometry")
    if found.get(TYPE) == POINT and geometry[0] == MOVE_TO_ONE:
        # Zigzag; a buffer of half a tile around it is what renderers put up with.
        x, y = ((n >> 1) ^ -(n & 1) for n in geometry[1:3])
        if len(geometry) != 3 or not (-extent // 2 <= x <= extent * 3 // 2 and -extent // 2 <= y <= extent * 3 // 2):
            raise ValueError("a point lies outside its tile")


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError("an unknown wire type")
        if at + size > len(data):
            raise ValueError("a field goes on behind the end")
        yield number, wire, data[at : at + size]
        at += size


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a varint does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
