"""The bytes of an MVT 2.1 point layer, all features at once (https://github.com/mapbox/vector-tile-spec/tree/master/2.1).

Every feature's cursor starts at (0, 0) (spec 4.3.2), so a feature's bytes do not depend on its neighbours, and all
features of a layer are written as one byte matrix (see geo.varint), without Python per feature:

    0x12 length | 0x08 id | 0x12 length (key value)* | 0x18 0x01 POINT | 0x22 length 0x09 MoveTo(1) zigzag x, zigzag y

A layer is head + features + tail; the order of fields is free in Protocol Buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geo.tilemath import EXTENT
from geo.varint import Bytes, varint, varint_columns

Ints = NDArray[np.int64]

_EXTENT = b"\x28" + varint(EXTENT)  # Layer.extent, which spec 4.1 demands although 4096 is the default


def point_features(
    ids: Ints, px: Ints, py: Ints, tags: Bytes, tag_mask: NDArray[np.bool_] | None
) -> tuple[Bytes, Ints, Ints]:
    """All features' bytes back to back, where each starts in them (n,), and the length of each id (n,).

    `tags` (n, T) are the packed key and value indices, `tag_mask` which of the bytes count (None: all).
    """
    n, width = tags.shape
    id_bytes, id_mask = varint_columns(ids)
    at = np.array((px, py), np.int64)
    # Parameter integers (spec 4.3.2) are 32 bits wide; what overflows 64 bits in the shift turns up negative.
    at_bytes, at_mask = varint_columns(at << 1 ^ at >> 63, limit=1 << 32)
    at_width = at_bytes.shape[2]
    id_length, at_length = id_mask.sum(axis=1), at_mask.sum(axis=(0, 2))
    tag_length = width if tag_mask is None else tag_mask.sum(axis=1)
    length = id_length + at_length + tag_length + 8  # 8: the field headers below, without the first two bytes

    tags_from = 5 + id_bytes.shape[1]
    type_from = tags_from + width
    at_from = type_from + 5
    rows = np.empty((n, at_from + 2 * at_width), np.uint8)
    mask = np.ones(rows.shape, np.bool_)
    rows[:, 0] = 0x12  # Layer.features
    rows[:, 1] = length
    rows[:, 2] = 0x08  # Feature.id
    rows[:, 3 : tags_from - 2] = id_bytes
    mask[:, 3 : tags_from - 2] = id_mask
    rows[:, tags_from - 2] = 0x12  # Feature.tags, packed
    rows[:, tags_from - 1] = tag_length
    rows[:, tags_from:type_from] = tags
    if tag_mask is not None:
        mask[:, tags_from:type_from] = tag_mask
    rows[:, type_from] = 0x18  # Feature.type
    rows[:, type_from + 1] = 1  # POINT
    rows[:, type_from + 2] = 0x22  # Feature.geometry, packed
    rows[:, type_from + 3] = at_length + 1
    rows[:, type_from + 4] = 0x09  # command MoveTo, count 1 (spec 4.3.1)
    for axis, column in enumerate((at_from, at_from + at_width)):
        rows[:, column : column + at_width] = at_bytes[axis]
        mask[:, column : column + at_width] = at_mask[axis]
    end = np.cumsum(length + 2)
    return rows[mask], end - (length + 2), id_length


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
