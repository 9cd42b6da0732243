"""Protocol Buffers varints, one at a time and as columns of a byte matrix.

A message of variable length is laid out for all rows at once as a fixed-width byte matrix with a mask of the bytes that
count; `matrix[mask]` then yields the rows' bytes, back to back, in one pass. Varints are always minimal, so equal
content means equal bytes (https://protobuf.dev/programming-guides/encoding/#varints).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# By the number of dimensions of the values: shifts along a new first axis, and the axes' order that makes it the last.
_SHIFTS = [np.arange(0, 64, 7).reshape(-1, *(1,) * ndim) for ndim in range(3)]
_LAST = [(*range(1, ndim + 1), 0) for ndim in range(3)]


def varint(value: int) -> bytes:
    """Minimal varint of a value from 0 to 2^64 - 1."""
    if not 0 <= value < 1 << 64:
        raise ValueError("a varint holds 0 to 2^64 - 1")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_columns(values: NDArray[np.int64], limit: int = 1 << 63) -> tuple[Bytes, Mask]:
    """Minimal varints of values from 0 to `limit` - 1: bytes and mask, both (*values.shape, width of the largest).

    values.size >= 1. Byte j of all values lies together in memory: short inner loops would cost four times as much.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= limit:
        raise ValueError(f"a number in a tile here is from 0 to {limit - 1}")
    width = max(1, -(-high.bit_length() // 7))
    rest = values >> _SHIFTS[values.ndim][: width + 1]  # what is left from byte j on
    more = rest != 0
    data = (rest[:-1] & 0x7F).astype(np.uint8)
    data |= more[1:].view(np.uint8) << np.uint8(7)
    more[0] = True  # zero takes one byte too
    back = _LAST[values.ndim]
    return data.transpose(back), more[:-1].transpose(back)
