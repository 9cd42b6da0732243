"""Protobuf messages against a writer of them in plain Python, and whatever else may come as bytes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.protobuf import Field, ProtobufError, fields
from tests.geo.worlds import examples

Payload = int | bytes


class Written(NamedTuple):
    number: int
    kind: int  # wire type: 0 a number, 1 and 5 of fixed size, 2 a text or a message
    payload: Payload


def varint(value: int) -> bytes:
    done = b""
    while value >= 0x80:
        done += bytes([value % 0x80 + 0x80])
        value //= 0x80
    return done + bytes([value])


def write(one: Written) -> bytes:
    tag = varint(one.number * 8 + one.kind)
    if isinstance(one.payload, int):
        return tag + varint(one.payload)
    return tag + (varint(len(one.payload)) if one.kind == 2 else b"") + one.payload


NUMBERS = st.integers(1, 2**29 - 1)
WRITTEN = st.lists(
    st.one_of(
        st.builds(Written, NUMBERS, st.just(0), st.integers(0, 2**64 - 1)),
        st.builds(Written, NUMBERS, st.just(2), st.binary(max_size=200)),
        st.builds(Written, NUMBERS, st.just(1), st.binary(min_size=8, max_size=8)),
        st.builds(Written, NUMBERS, st.just(5), st.binary(min_size=4, max_size=4)),
    ),
    max_size=8,
)


@given(WRITTEN, st.binary(max_size=9), st.binary(max_size=9))
@examples(150)
def test_what_was_written_is_read_wherever_it_stands(written: list[Written], before: bytes, behind: bytes) -> None:
    """Those of fixed size are passed over."""
    message = b"".join(map(write, written))
    data = before + message + behind
    found = list(fields(data, len(before), len(before) + len(message)))
    told = [one for one in written if one.kind in (0, 2)]
    assert [one.number for one in found] == [one.number for one in told]
    for one, expected in zip(found, told, strict=True):
        if isinstance(expected.payload, int):
            assert (one.value, one.begin) == (expected.payload, one.end)
        else:
            assert (one.value, data[one.begin : one.end]) == (0, expected.payload)
        assert data[one.tag_at : one.end] == write(expected)


@given(WRITTEN)
@examples(60)
def test_a_message_that_was_cut_is_none_unless_it_was_cut_between_two_fields(written: list[Written]) -> None:
    message = b"".join(map(write, written))
    whole = {0}
    for one in written:
        whole.add(max(whole) + len(write(one)))
    for end in range(len(message) + 1):
        if end in whole:
            list(fields(message[:end]))
        else:
            with pytest.raises(ProtobufError):
                list(fields(message[:end]))


@given(st.binary(max_size=60))
@examples(300)
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        found = list(fields(data))
    except ProtobufError:
        return
    assert all(0 <= one.tag_at < one.begin <= one.end <= len(data) for one in found)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x08" + b"\xff" * 10 + b"\x01", id="a number of eleven bytes"),
        pytest.param(b"\xff" * 30, id="a tag without an end"),
        pytest.param(b"\x0b\x0c", id="a group begins"),
        pytest.param(b"\x0c", id="a group ends"),
        pytest.param(b"\x0e", id="wire type 6"),
        pytest.param(b"\x0f", id="wire type 7"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", id="longer than all there is"),
        pytest.param(b"\x09abcdefg", id="seven bytes of eight"),
        pytest.param(b"\x0dabc", id="three bytes of four"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        list(fields(data))


def test_a_field_may_not_reach_beyond_the_message_it_is_in() -> None:
    inner = write(Written(1, 2, b"inside"))
    outer = write(Written(3, 2, inner)) + b"and more"
    layer = next(fields(outer, 0, len(outer) - 8))
    assert list(fields(outer, layer.begin, layer.end)) == [Field(1, 0, 4, 10, 2)]
    for data, begin, end in ((outer, layer.begin, layer.end - 1), (b"\x08\x80\x01", 0, 2)):
        with pytest.raises(ProtobufError):
            next(fields(data, begin, end))


def test_an_empty_message_has_no_fields() -> None:
    assert list(fields(b"")) == []
