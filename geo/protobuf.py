"""Walking a protobuf message without a schema (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_FIXED_BYTES = {1: 8, 5: 4}  # by wire type


class ProtobufError(ValueError):
    """The bytes are no message."""


class Field(NamedTuple):
    """`value`: of a number; `begin`, `end`: where the content of a text, bytes or message is, else equal. `tag_at`: where the
    field begins."""

    number: int
    value: int
    begin: int
    end: int
    tag_at: int


def fields(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Field]:
    """Of the message in data[begin:end], in order. Raises ProtobufError."""
    end = len(data) if end is None else end
    at = begin
    while at < end:
        tag_at = at
        tag, at = _varint(data, at, end)
        match tag & 7:
            case 0:
                value, at = _varint(data, at, end)
                yield Field(tag >> 3, value, at, at, tag_at)
            case 2:
                length, at = _varint(data, at, end)
                if at + length > end:
                    raise ProtobufError("a field is longer than what is there")
                yield Field(tag >> 3, 0, at, at + length, tag_at)
                at += length
            case kind if kind in _FIXED_BYTES:
                at += _FIXED_BYTES[kind]
            case _:
                raise ProtobufError("no protobuf")
    if at != end:
        raise ProtobufError("it ends within a field")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtobufError("a number does not end")
