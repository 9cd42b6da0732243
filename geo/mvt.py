"""Mapbox Vector Tile layers of points: one kind that is patched in place, one with any numbers.

**Patchable layers** (geo.station_layer) have one fixed dictionary per schema, of at most 128 values, so a value index is
always one byte. A changed status or count then alters bytes at a known offset and never a length: `patch` writes them
in place, and the result equals a fresh encoding byte for byte (promise R5).

**Numbers.** The `stations` dictionary holds 127 numbers: exact below 100, then steps; larger numbers are rounded *down*
to a step, so a tile never promises more than there is.

A station takes 32 bytes, the dictionary 0.6 KB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo.mvt_bytes import Bytes, layer_head, layer_tail, number_features, wrap_layer

Ints = NDArray[np.int64]

MAX_KEYS = 48  # keeps the tags under 128 bytes and, with the largest id and position, a feature too: one-byte lengths
MAX_VALUES = 128  # a value index is one byte

# Steps above 99 lie where chargers' powers do (kW: 150, 175, 350, 400 …); counts that high are rare.
NUMBERS: tuple[int, ...] = (
    *range(100),
    *(100, 110, 120, 125, 130, 140, 150, 160, 175, 180, 200, 225, 240, 250, 300, 320, 350, 360),
    *(400, 480, 500, 600, 720, 800, 900, 1000, 1200),
)
FLOOR_INDEX: Bytes = (np.searchsorted(NUMBERS, np.arange(NUMBERS[-1] + 1), side="right") - 1).astype(np.uint8)
"""By a whole number up to the largest of NUMBERS: the index of the largest one not above it."""


@dataclass(frozen=True)
class LayerSchema:
    """A layer's name, keys and the one dictionary of unsigned numbers that all its features share.

    `head` and `tail` are the layer's bytes before and after its features.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[int, ...] = NUMBERS
    head: bytes = field(init=False, repr=False)
    tail: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= MAX_KEYS or len(set(self.keys)) != len(self.keys):
            raise ValueError(f"a layer takes 1 to {MAX_KEYS} different keys")
        if not 1 <= len(self.values) <= MAX_VALUES or any(b <= a for a, b in pairwise(self.values)):
            raise ValueError(f"a layer takes 1 to {MAX_VALUES} rising values")
        object.__setattr__(self, "head", layer_head(self.name))
        object.__setattr__(self, "tail", layer_tail(self.keys, np.array(self.values, np.int64)))


STATIONS = LayerSchema("stations", ("status", "free", "busy", "out_of_service", "unknown", "total", "kw"))
"""Station tiles. `status` is geo.station.Availability (0 unknown, 1 free, 2 busy, 3 out of service); then EVSEs by
availability, all EVSEs, and the largest power in kW (0: not known)."""

AGGREGATES = "aggregates"
AGGREGATE_KEYS = ("count", "free", "busy", "out_of_service", "unknown", "max_kw", "best_id", "best_kw")
"""Aggregate tiles: stations, EVSEs by availability, the largest power, and the best free station, if one is free."""


class EncodedLayer(NamedTuple):
    """A layer as it stands in a tile. `tag_offset` (n,): where in `data` each feature's first value index is;
    the next ones follow every second byte. In a tile of several layers add the length of those before."""

    data: bytearray
    tag_offset: Ints


def floor_index(values: ArrayLike) -> Bytes:
    """Index in NUMBERS of the largest number not above each value, shape kept. ValueError for negatives and NaN."""
    given = np.asarray(values)
    if not np.all(given >= 0):  # asked this way round NaN fails too
        raise ValueError("a count or power must be a number from 0")
    index: Bytes = FLOOR_INDEX[np.minimum(given, NUMBERS[-1]).astype(np.intp)]
    return index


def patch(data: bytearray, tag_offset: Ints, tags: Bytes) -> None:
    """Writes value indices of shape (rows, keys) over those at `tag_offset` (rows,). Raises ValueError."""
    if tags.ndim != 2 or tag_offset.shape != (len(tags),):
        raise ValueError("tag_offset must be of shape (rows,) and tags of shape (rows, keys)")
    _check_integers(tag_offset)
    _check_tags(tags)
    if len(tags) == 0:
        return
    reach = 2 * (tags.shape[1] - 1)
    if tags.max() >= MAX_VALUES or tag_offset.min() < 0 or tag_offset.max() + reach >= len(data):
        raise ValueError("tag_offset must lie in the tile and tags be below 128")
    np.frombuffer(data, np.uint8)[tag_offset[:, None] + np.arange(0, reach + 1, 2)] = tags


def encode_numbers(
    name: str, keys: Sequence[str], ids: Ints, px: Ints, py: Ints, values: Ints, present: NDArray[np.bool_]
) -> bytes:
    """A point layer of any numbers from 0 to 2^63 - 1, with a dictionary of its own: the values present, rising.

    ids, px, py (n,), values and present (n, keys); an absent value's key is left out. For layers of some hundred
    features, which are encoded anew when they change. Equal input gives equal bytes. Raises ValueError.
    """
    n, k = len(ids), len(keys)
    if not 1 <= k <= MAX_KEYS // 2:  # an index here takes up to 3 bytes
        raise ValueError(f"a layer takes 1 to {MAX_KEYS // 2} keys")
    if not (ids.shape == px.shape == py.shape == (n,) and values.shape == present.shape == (n, k)):
        raise ValueError(f"ids, px, py must be of one length n, values and present of shape (n, {k})")
    _check_integers(ids, px, py, values)
    if present.dtype != np.bool_:
        raise ValueError("present must be an array of booleans")
    if n == 0:
        return b""
    dictionary = np.unique(values[present]).astype(np.int64)
    if len(dictionary) >= 1 << 21:
        raise ValueError("too many different values in one layer")
    tail = layer_tail(keys, dictionary)
    ids, px, py, values = _as_int64(ids), _as_int64(px), _as_int64(py), _as_int64(values)
    body = number_features(ids, px, py, values, np.ascontiguousarray(present), dictionary)
    return bytes(wrap_layer(layer_head(name), body, tail))


def _check_integers(*columns: NDArray[Any]) -> None:
    # Floats would be refused by a shift operator deep inside, and an unsigned 64-bit column be turned into floats.
    if any(column.dtype.kind not in "iu" or column.dtype == np.uint64 for column in columns):
        raise ValueError("ids, positions, offsets and values must be arrays of integers (not uint64)")


def _as_int64(column: NDArray[Any]) -> Ints:
    """As compiled code takes it."""
    return np.ascontiguousarray(column, np.int64)


def _check_tags(tags: NDArray[Any]) -> None:
    if tags.dtype != np.uint8:
        raise ValueError("tags must be an array of uint8: they are written as they stand")
