"""Tile bytes: two independent decoders read back what went in, and patched bytes equal freshly encoded ones (R5)."""

from __future__ import annotations

from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.mvt import (
    AGGREGATE_KEYS,
    AGGREGATES,
    NUMBERS,
    STATIONS,
    EncodedLayer,
    LayerSchema,
    encode_numbers,
    floor_index,
    patch,
)
from geo.mvt_bytes import layer_tail, varint
from tests.geo.points import encode_points
from tests.node.decoder import NodeDecoder, node_decoder

__all__ = ["node_decoder"]  # a fixture

K = len(STATIONS.keys)
Columns = dict[str, NDArray[Any]]

ids = st.integers(0, 1 << 53) | st.integers(0, 300)
at = st.integers(0, 4095) | st.integers(-300, 4400)
index = st.integers(0, len(NUMBERS) - 1)


@st.composite
def station_columns(draw: st.DrawFn, min_size: int = 0) -> Columns:
    rows = draw(st.lists(st.tuples(ids, at, at, st.tuples(*[index] * K)), min_size=min_size, max_size=40))
    return {
        "ids": np.array([row[0] for row in rows], np.int64),
        "px": np.array([row[1] for row in rows], np.int64),
        "py": np.array([row[2] for row in rows], np.int64),
        "tags": np.array([row[3] for row in rows], np.uint8).reshape(len(rows), K),
    }


@st.composite
def aggregate_columns(draw: st.DrawFn) -> Columns:
    number = st.none() | st.integers(0, 1 << 53) | st.integers(0, 200)
    k = len(AGGREGATE_KEYS)
    rows = draw(st.lists(st.tuples(ids, at, at, st.tuples(*[number] * k)), max_size=40))
    return {
        "ids": np.array([row[0] for row in rows], np.int64),
        "px": np.array([row[1] for row in rows], np.int64),
        "py": np.array([row[2] for row in rows], np.int64),
        "values": np.array([[v or 0 for v in row[3]] for row in rows], np.int64).reshape(len(rows), k),
        "present": np.array([[v is not None for v in row[3]] for row in rows], np.bool_).reshape(len(rows), k),
    }


def stations(columns: Columns) -> EncodedLayer:
    return encode_points(STATIONS, columns["ids"], columns["px"], columns["py"], columns["tags"])


def aggregates(columns: Columns) -> bytes:
    return encode_numbers(AGGREGATES, AGGREGATE_KEYS, **columns)


def expected(columns: Columns) -> list[dict[str, Any]]:
    """The features as both decoders are to give them."""
    if "tags" in columns:
        properties = [
            dict(zip(STATIONS.keys, np.take(NUMBERS, tags).tolist(), strict=True)) for tags in columns["tags"]
        ]
    else:
        rows = zip(columns["values"].tolist(), columns["present"].tolist(), strict=True)
        properties = [
            {key: v for key, v, there in zip(AGGREGATE_KEYS, values, present, strict=True) if there}
            for values, present in rows
        ]
    places = zip(columns["ids"].tolist(), columns["px"].tolist(), columns["py"].tolist(), properties, strict=True)
    return [{"id": num, "type": 1, "properties": shown, "points": [[x, y]]} for num, x, y, shown in places]


def python_decoded(tile: bytes | bytearray) -> dict[str, Any]:
    """mapbox-vector-tile's answer in the shape of the Node decoder's."""
    layers: dict[str, Any] = mapbox_vector_tile.decode(
        bytes(tile), default_options={"y_coord_down": True, "geojson": False}
    )
    for layer in layers.values():
        for feature in layer["features"]:
            feature["points"] = [feature.pop("geometry")["coordinates"]]
    return layers


@given(columns=station_columns())
def test_the_python_decoder_reads_back_stations(columns: Columns) -> None:
    features = expected(columns)
    wanted = {"stations": {"version": 2, "extent": 4096, "features": features}} if features else {}
    assert python_decoded(stations(columns).data) == wanted


@given(columns=aggregate_columns())
def test_the_python_decoder_reads_back_aggregates(columns: Columns) -> None:
    features = expected(columns)
    wanted = {"aggregates": {"version": 2, "extent": 4096, "features": features}} if features else {}
    assert python_decoded(aggregates(columns)) == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(upper=station_columns(), lower=aggregate_columns())
def test_both_decoders_read_back_a_tile_of_two_layers(
    node_decoder: NodeDecoder, upper: Columns, lower: Columns
) -> None:
    tile = stations(upper).data + aggregates(lower)
    layers = {"stations": expected(upper), "aggregates": expected(lower)}
    wanted = {
        name: {"version": 2, "extent": 4096, "features": features} for name, features in layers.items() if features
    }
    assert node_decoder.decode(tile) == wanted == python_decoded(tile)


def test_both_decoders_read_a_large_tile(node_decoder: NodeDecoder) -> None:
    r, n = np.random.default_rng(1), 20_000
    columns: Columns = {
        "ids": np.sort(r.integers(0, 1 << 53, n)),
        "px": r.integers(0, 4096, n),
        "py": r.integers(0, 4096, n),
        "tags": r.integers(0, len(NUMBERS), (n, K)).astype(np.uint8),
    }
    tile = stations(columns).data
    wanted = {"stations": {"version": 2, "extent": 4096, "features": expected(columns)}}
    assert node_decoder.decode(tile) == wanted
    assert python_decoded(tile) == wanted


@given(st.data())
def test_a_patched_layer_equals_a_freshly_encoded_one(data: st.DataObject) -> None:
    columns = data.draw(station_columns(min_size=1))
    n = len(columns["ids"])
    rows = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    before = data.draw(st.sampled_from([b"", aggregates(AN_AGGREGATE)]))  # another layer may stand before ours
    layer = stations(columns)
    tile = bytearray(before) + layer.data

    changed = data.draw(st.lists(st.tuples(*[index] * K), min_size=len(rows), max_size=len(rows)))
    tags = np.array(changed, np.uint8).reshape(len(rows), K)
    patch(tile, layer.tag_offset[rows] + len(before), tags)

    columns["tags"][rows] = tags
    fresh = stations(columns)
    assert tile == before + fresh.data
    assert (fresh.tag_offset == layer.tag_offset).all()


AN_AGGREGATE: Columns = {
    "ids": np.array([1]),
    "px": np.array([2]),
    "py": np.array([3]),
    "values": np.arange(len(AGGREGATE_KEYS)).reshape(1, -1),
    "present": np.ones((1, len(AGGREGATE_KEYS)), np.bool_),
}


def test_the_bytes_are_those_of_the_specification() -> None:
    """Written out by hand from MVT 2.1, chapter 4, and its protocol buffer definition."""
    schema = LayerSchema("a", ("k", "m"), (0, 300))
    layer = encode_points(schema, np.array([300]), np.array([64]), np.array([-1]), np.array([[1, 0]], np.uint8))
    feature = b"\x08\xac\x02" + b"\x12\x04\x00\x01\x01\x00" + b"\x18\x01" + b"\x22\x04\x09\x80\x01\x01"
    tail = b"\x1a\x01k" + b"\x1a\x01m" + b"\x22\x02\x28\x00" + b"\x22\x03\x28\xac\x02" + b"\x28\x80\x20"
    body = b"\x78\x02" + b"\x0a\x01a" + b"\x12" + bytes([len(feature)]) + feature + tail
    assert layer.data == b"\x1a" + bytes([len(body)]) + body
    assert layer.data[layer.tag_offset[0]] == 1
    assert layer.data[layer.tag_offset[0] + 2] == 0


def test_a_layer_without_features_has_no_bytes() -> None:
    none = np.zeros(0, np.int64)
    assert encode_points(STATIONS, none, none, none, np.zeros((0, K), np.uint8)).data == b""
    assert encode_numbers("a", ("k",), none, none, none, np.zeros((0, 1), np.int64), np.zeros((0, 1), np.bool_)) == b""
    patch(bytearray(), none, np.zeros((0, K), np.uint8))


def test_the_largest_feature_still_has_one_byte_lengths() -> None:
    n, keys = 3000, tuple(f"k{i}" for i in range(24))  # 72,000 different values: three bytes an index
    values = np.arange(n * 24).reshape(n, 24) + (1 << 50)
    here = np.full(n, -(1 << 31))
    tile = encode_numbers("b", keys, np.full(n, (1 << 63) - 1), here, here, values, np.ones((n, 24), np.bool_))
    features = python_decoded(tile)["b"]["features"]
    assert {(feature["id"], *feature["points"][0]) for feature in features} == {((1 << 63) - 1, here[0], here[0])}
    assert [list(feature["properties"].values()) for feature in features] == values.tolist()


def test_numbers_are_exact_below_100_and_rounded_down_above() -> None:
    assert len(NUMBERS) == 127
    given_numbers = np.array([0, 0.9, 7.4, 99, 99.9, 100, 109, 110, 349, 350, 1199.9, 1200, 1e9, np.inf])
    assert np.take(NUMBERS, floor_index(given_numbers)).tolist() == [
        0, 0, 7, 99, 99, 100, 100, 110, 320, 350, 1000, 1200, 1200, 1200,
    ]  # fmt: skip
    whole = np.arange(2000)
    assert np.take(NUMBERS, floor_index(whole)).tolist() == [max(v for v in NUMBERS if v <= n) for n in whole]
    assert floor_index(np.zeros((3, 2), np.uint16)).shape == (3, 2)


@pytest.mark.parametrize("value", [-1, -0.1, np.nan, -np.inf])
def test_a_negative_or_unknown_number_has_no_index(value: float) -> None:
    with pytest.raises(ValueError, match="from 0"):
        floor_index([1.0, value])


@given(st.lists(st.integers(0, (1 << 63) - 1), unique=True))
@example([0])
@example([(1 << 63) - 1, 0])
@example([1 << bits for bits in range(63)])
@example([(1 << bits) - 1 for bits in range(64)])
def test_a_dictionary_holds_varints(values: list[int]) -> None:
    message = b"".join(b"\x22" + varint(1 + len(varint(v))) + b"\x28" + varint(v) for v in values)
    assert layer_tail((), np.array(values, np.int64)) == message + b"\x28" + varint(4096)


def test_varints_are_those_of_protocol_buffers() -> None:
    assert [varint(v) for v in (0, 1, 127, 128, 150, 300)] == [
        b"\0", b"\1", b"\x7f", b"\x80\x01", b"\x96\x01", b"\xac\x02",
    ]  # fmt: skip
    for wrong in (-1, 1 << 64):
        with pytest.raises(ValueError):
            varint(wrong)


ONE = np.array([1])
TAGS = np.zeros((1, K), np.uint8)


@pytest.mark.parametrize("keys, values", [((), (1,)), (("a", "a"), (1,)), (("a",), ()), (("a",), (2, 1)),
                                          (("a",), tuple(range(129))), (tuple(map(str, range(49))), (1,)),
                                          (("a",), (-1, 1))])  # fmt: skip
def test_a_schema_that_cannot_be_patched_is_refused(keys: tuple[str, ...], values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        LayerSchema("layer", keys, values)


@pytest.mark.parametrize("wrong", [
    {"values": -np.ones((1, 8), np.int64)}, {"values": np.ones((1, 8))}, {"values": np.ones((1, 7), np.int64)},
    {"present": np.ones((1, 8), np.int64)}, {"ids": -ONE}, {"px": ONE << 40}, {"py": np.array([1, 2])},
], ids=str)  # fmt: skip
def test_numbers_that_make_no_layer_are_refused(wrong: Columns) -> None:
    with pytest.raises(ValueError):
        aggregates(AN_AGGREGATE | wrong)


@pytest.mark.parametrize("offset, tags", [
    ([-1], TAGS), ([0, 1], TAGS), ([1 << 40], TAGS), ([[5]], TAGS), ([5.0], TAGS), ([5], TAGS + 128), ([5], TAGS[0]),
    ([5], TAGS.astype(np.int8)),
], ids=str)  # fmt: skip
def test_a_patch_that_would_break_the_tile_is_refused(offset: Any, tags: Any) -> None:
    layer = stations({"ids": ONE, "px": ONE, "py": ONE, "tags": TAGS}).data
    before = bytes(layer)
    with pytest.raises(ValueError):
        patch(layer, np.array(offset), tags)
    end = np.array([len(layer) - 2 * (K - 1)])
    with pytest.raises(ValueError):
        patch(layer, end, TAGS)
    assert layer == before
