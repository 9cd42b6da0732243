from __future__ import annotations

import gzip
import zlib

import pytest

from mapsvc.body import BODY_BYTES, unpack
from mapsvc.problems import Problem, TooLarge

BODY = b'[{"evse_uid":"1"}]' * 100


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("identity", BODY),
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
    ],
)
def test_the_usual_encodings_are_unpacked(encoding: str, packed: bytes) -> None:
    assert unpack(packed, encoding) == BODY


def test_an_empty_body_is_empty_in_any_encoding() -> None:
    assert unpack(b"", "gzip") == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "", "chunked"])
def test_other_encodings_are_named_as_the_fault(encoding: str) -> None:
    with pytest.raises(Problem) as caught:
        unpack(b"x", encoding)
    assert caught.value.faults[0].where == "Content-Encoding"


@pytest.mark.parametrize(
    "packed",
    [b"x", b"\x1f\x8b", gzip.compress(BODY)[:-1], gzip.compress(BODY) + b"x", gzip.compress(BODY) * 2],
    ids=["nothing of it", "its head", "cut off", "more behind it", "two of them"],
)
def test_what_is_not_one_whole_stream_is_refused(packed: bytes) -> None:
    with pytest.raises(Problem) as caught:
        unpack(packed, "gzip")
    assert not isinstance(caught.value, TooLarge)


def test_a_body_is_unpacked_up_to_the_limit_and_not_a_byte_further() -> None:
    assert len(unpack(gzip.compress(bytes(BODY_BYTES)), "gzip")) == BODY_BYTES
    for size in (BODY_BYTES + 1, 200 * BODY_BYTES):
        with pytest.raises(TooLarge):
            unpack(zlib.compress(bytes(size)), "deflate")
