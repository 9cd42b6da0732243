"""The tile check: what other encoders make passes, and any other bytes are refused in words, never with a crash."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.mvt import STATIONS
from geo.mvt_bytes import layer_head
from loadtests.mvt_check import check_tile
from tests.geo.points import encode_points


def theirs(name: str = "stations", **feature: Any) -> bytes:
    """A tile of a layer with two points, by an independent encoder."""
    one = {"geometry": "POINT (2000 2100)", "properties": {"status": 1, "name": "x", "kw": 1.5}} | feature
    encoded: bytes = mapbox_vector_tile.encode([{"name": name, "features": [one, one]}])
    return encoded


def ours() -> bytes:
    ids = np.arange(1, 4)
    tags = np.zeros((3, len(STATIONS.keys)), np.uint8)
    return bytes(encode_points(STATIONS, ids, ids, ids, tags).data)


def test_tiles_of_two_encoders_pass() -> None:
    assert check_tile(theirs()) == 2
    assert check_tile(ours()) == 3
    assert check_tile(ours() + theirs("others")) == 5
    assert check_tile(theirs(geometry="LINESTRING (0 0, 9 9, 20 5)")) == 2
    assert check_tile(b"") == 0


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        (theirs() + theirs(), "two layers have one name"),
        (b"\x08\x01", "layers and nothing else"),
        (b"\x1a\x00", "a name, version 2"),
        (ours()[:-1], "goes on behind the end"),
        (b"\x1a" + bytes([len(layer_head("x"))]) + layer_head("x"), "at least one feature"),
        (theirs(geometry="POINT (30000 5)"), "outside its tile"),
    ],
)
def test_faults_are_named(tile: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_tile(tile)


def test_tags_must_lie_in_the_dictionary() -> None:
    tile = bytearray(ours())
    head = bytes((0x12, 2 * len(STATIONS.keys)))
    at = tile.index(head) + len(head)
    tile[at + 1] = 127  # the first value's index: there are 127 numbers
    with pytest.raises(ValueError, match="keys and values"):
        check_tile(bytes(tile))


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    try:
        check_tile(data)
    except ValueError as error:
        assert str(error)


@given(st.data())
def test_a_tile_with_a_byte_changed_is_judged(data: st.DataObject) -> None:
    tile = bytearray(theirs())
    tile[data.draw(st.integers(0, len(tile) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_tile(bytes(tile))
    except ValueError as error:
        assert str(error)
