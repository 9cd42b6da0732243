"""Layers of points by the definition, byte after byte (https://github.com/mapbox/vector-tile-spec/tree/master/2.1): what
geo.station_layer writes in one compiled loop is compared with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.mvt import EncodedLayer, LayerSchema
from geo.mvt_bytes import varint

Column = NDArray[Any]


def encode_points(schema: LayerSchema, ids: Column, px: Column, py: Column, tags: Column) -> EncodedLayer:
    """Columns of one length n, tags (n, keys of the schema): value indices below 128."""
    body, offsets = bytearray(), []
    for num, x, y, indices in zip(ids.tolist(), px.tolist(), py.tolist(), tags.tolist(), strict=True):
        pairs = b"".join(bytes((key, index)) for key, index in enumerate(indices))
        geometry = varint(1 << 3 | 1) + varint(zigzag(x)) + varint(zigzag(y))
        before = b"\x08" + varint(num) + b"\x12" + varint(len(pairs))
        feature = before + pairs + b"\x18\x01\x22" + varint(len(geometry)) + geometry
        head = b"\x12" + varint(len(feature))
        offsets.append(len(body) + len(head) + len(before) + 1)  # after the first key
        body += head + feature
    if not offsets:
        return EncodedLayer(bytearray(), np.zeros(0, np.int64))
    layer = schema.head + body + schema.tail
    head = b"\x1a" + varint(len(layer))
    return EncodedLayer(bytearray(head + layer), np.array(offsets) + len(head) + len(schema.head))


def zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1
