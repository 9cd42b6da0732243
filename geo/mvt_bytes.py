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
from geo.varint import Bytes, varint, varint_columns

Ints = NDArray[np.int64]

_MOST_BESIDE_TAGS = 3 + 9 + 2 + 5 + 2 * 5  # bytes of a feature: its heads, an id of 63 bits, two positions of 32

_EXTENT = b"\x28" + varint(EXTENT)  # Layer.extent, which spec 4.1 demands although 4096 is the default


def point_features(
    ids: Ints, px: Ints, py: Ints, tags: Bytes, tag_mask: NDArray[np.bool_] | None
) -> tuple[Bytes, Ints, Ints]:
    """All features' bytes back to back, where each starts in them (n,), and the length of each id (n,).

    `tags` (n, T) are the packed key and value indices, `tag_mask` which of the bytes count (None: all). Raises ValueError.
    """
    n, width = tags.shape
    at = np.array((px, py), np.int64)
    at = at << 1 ^ at >> 63
    # Parameter integers (spec 4.3.2) are 32 bits wide; what overflows 64 bits in the shift turns up negative.
    if n and not (at.min() >= 0 and at.max() < 1 << 32 and ids.min() >= 0):
        raise ValueError("ids must be from 0, and positions fit 32 bits")
    out = np.empty(n * (width + _MOST_BESIDE_TAGS), np.uint8)
    start, id_length = np.empty(n, np.int64), np.empty(n, np.int64)
    none = np.zeros((0, 0), np.bool_)
    size = _write_features(
        ids.astype(np.int64), at, tags, none if tag_mask is None else tag_mask, out, start, id_length
    )
    return out[:size], start, id_length


@njit(cache=True)
def _varint(out: Bytes, at: int, number: int) -> int:
    while number > 127:
        out[at] = number & 127 | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@njit(cache=True)
def _write_features(
    ids: Ints, places: Ints, tags: Bytes, tag_mask: NDArray[np.bool_], out: Bytes, start: Ints, id_length: Ints
) -> int:
    """Returns how many bytes there are."""
    at = 0
    for i in range(len(ids)):
        start[i] = at
        out[at] = 0x12  # Layer.features
        out[at + 2] = 0x08  # Feature.id
        end = _varint(out, at + 3, ids[i])
        id_length[i] = end - at - 3
        out[end] = 0x12  # Feature.tags, packed
        tags_from = end + 2
        end = tags_from
        for k in range(tags.shape[1]):
            if len(tag_mask) == 0 or tag_mask[i, k]:
                out[end] = tags[i, k]
                end += 1
        out[tags_from - 1] = end - tags_from
        out[end], out[end + 1] = 0x18, 1  # Feature.type: POINT
        out[end + 2] = 0x22  # Feature.geometry, packed
        out[end + 4] = 0x09  # command MoveTo, count 1 (spec 4.3.1)
        geometry_from = end + 4
        end = _varint(out, _varint(out, end + 5, places[0, i]), places[1, i])
        out[geometry_from - 1] = end - geometry_from
        out[at + 1] = end - at - 2
        at = end
    return at


def layer_head(name: str) -> bytes:
    """Version 2 first, as a decoder must look at it first (spec 4.1), then the name."""
    text = name.encode()
    return b"\x78\x02\x0a" + varint(len(text)) + text


def layer_tail(keys: Sequence[str], values: Ints) -> bytes:
    """The dictionary: keys and uint_value values (spec 4.4), then the extent."""
    named = b"".join(b"\x1a" + varint(len(text)) + text for text in (key.encode() for key in keys))
    if len(values) == 0:
        return named + _EXTENT
    number_bytes, number_mask = varint_columns(values)
    rows = np.empty((len(values), 3 + number_bytes.shape[1]), np.uint8)
    mask = np.ones(rows.shape, np.bool_)
    rows[:, 0] = 0x22  # Layer.values
    rows[:, 1] = number_mask.sum(axis=1) + 1
    rows[:, 2] = 0x28  # Value.uint_value
    rows[:, 3:] = number_bytes
    mask[:, 3:] = number_mask
    return named + rows[mask].tobytes() + _EXTENT


def wrap_layer(head: bytes, body: Bytes, tail: bytes) -> bytearray:
    """The layer as field 3 of a tile; layers concatenated are a tile."""
    data = bytearray(b"\x1a" + varint(len(head) + len(body) + len(tail)) + head)
    data += body.data
    data += tail
    return data
