"""The bytes of an MVT 2.1 point layer, all features at once (https://github.com/mapbox/vector-tile-spec/tree/master/2.1).

Every feature's cursor starts at (0, 0) (spec 4.3.2), so a feature's bytes do not depend on its neighbours:

    0x12 length | 0x08 id | 0x12 length (key value)* | 0x18 0x01 POINT | 0x22 length 0x09 MoveTo(1) zigzag x, zigzag y

A layer is head + features + tail; the order of fields is free in Protocol Buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.tilemath import EXTENT

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

MOST_BESIDE_TAGS = 3 + 9 + 2 + 5 + 2 * 5  # bytes of a feature: its heads, an id of 63 bits, two positions of 32
_MOST_OF_INDEX = 3  # bytes of a value's index, of 21 bits


def varint(value: int) -> bytes:
    """Minimal varint of a value from 0 to 2^64 - 1 (https://protobuf.dev/programming-guides/encoding/#varints)."""
    if not 0 <= value < 1 << 64:
        raise ValueError("a varint holds 0 to 2^64 - 1")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_EXTENT = b"\x28" + varint(EXTENT)  # Layer.extent, which spec 4.1 demands although 4096 is the default


def number_features(ids: Ints, px: Ints, py: Ints, values: Ints, present: NDArray[np.bool_], dictionary: Ints) -> Bytes:
    """All features' bytes back to back. values and present (n, k): what is present stands in `dictionary`, which is rising and
    of less than 2^21 numbers. Raises ValueError."""
    n, k = values.shape
    out = np.empty(n * ((1 + _MOST_OF_INDEX) * k + MOST_BESIDE_TAGS), np.uint8)
    size = _write_numbers(ids, px, py, values, present, dictionary, out)
    if size < 0:
        raise ValueError("ids must be from 0, and positions fit 32 bits")
    return out[:size]


@njit(cache=True)
def _varint(out: Bytes, at: int, number: int) -> int:
    while number > 127:
        out[at] = number & 127 | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@njit(cache=True)
def feature_head(out: Bytes, at: int, feature_id: int) -> int:
    """A feature up to its tags, which `feature_end` completes. Returns where they begin. Ids are from 0."""
    out[at] = 0x12  # Layer.features; its length comes last
    out[at + 2] = 0x08  # Feature.id
    end = _varint(out, at + 3, feature_id)
    out[end] = 0x12  # Feature.tags, packed; their length comes later
    return end + 2


@njit(cache=True)
def feature_end(out: Bytes, at: int, tags_from: int, end: int, px: int, py: int) -> int:
    """What follows the tags, which end at `end`, and the lengths. -1: a position beyond 32 bits."""
    out[tags_from - 1] = end - tags_from
    out[end], out[end + 1] = 0x18, 1  # Feature.type: POINT
    out[end + 2] = 0x22  # Feature.geometry, packed
    out[end + 4] = 0x09  # command MoveTo, count 1 (spec 4.3.1)
    geometry_from = end + 4
    x, y = px << 1 ^ px >> 63, py << 1 ^ py >> 63  # zigzag
    # Parameter integers (spec 4.3.2) are 32 bits wide; what overflows 64 bits in the shift turns up negative.
    if x < 0 or y < 0 or x >= 1 << 32 or y >= 1 << 32:
        return -1
    end = _varint(out, _varint(out, end + 5, x), y)
    out[geometry_from - 1] = end - geometry_from
    out[at + 1] = end - at - 2
    return end


@njit(cache=True)
def _write_numbers(
    ids: Ints, px: Ints, py: Ints, values: Ints, present: NDArray[np.bool_], dictionary: Ints, out: Bytes
) -> int:
    """Returns how many bytes there are; -1: an id or a position out of range."""
    at = 0
    for i in range(len(ids)):
        if ids[i] < 0:
            return -1
        tags_from = end = feature_head(out, at, ids[i])
        for k in range(values.shape[1]):
            if present[i, k]:
                out[end] = k
                end = _varint(out, end + 1, np.searchsorted(dictionary, values[i, k]))
        at = feature_end(out, at, tags_from, end, px[i], py[i])
        if at < 0:
            return -1
    return at


def layer_head(name: str) -> bytes:
    """Version 2 first, as a decoder must look at it first (spec 4.1), then the name."""
    text = name.encode()
    return b"\x78\x02\x0a" + varint(len(text)) + text


def layer_tail(keys: Sequence[str], values: Ints) -> bytes:
    """The dictionary: keys and uint_value values (spec 4.4), then the extent. Raises ValueError."""
    named = b"".join(b"\x1a" + varint(len(text)) + text for text in (key.encode() for key in keys))
    out = np.empty(12 * len(values), np.uint8)
    size = _write_values(values, out)
    if size < 0:
        raise ValueError("a number in a tile here is from 0 to 2^63 - 1")
    return named + out[:size].tobytes() + _EXTENT


@njit(cache=True)
def _write_values(values: Ints, out: Bytes) -> int:
    """Returns how many bytes there are; -1: a negative value."""
    at = 0
    for value in values:
        if value < 0:
            return -1
        out[at] = 0x22  # Layer.values; its length comes last
        out[at + 2] = 0x28  # Value.uint_value
        end = _varint(out, at + 3, value)
        out[at + 1] = end - at - 2
        at = end
    return at


def wrap_layer(head: bytes, body: Bytes, tail: bytes) -> bytearray:
    """The layer as field 3 of a tile; layers concatenated are a tile."""
    data = bytearray(b"\x1a" + varint(len(head) + len(body) + len(tail)) + head)
    data += body.data
    data += tail
    return data
