"""Whether a file is a whole OSM PBF file: as small ones made here, cut anywhere, and as whatever else it may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsvc.roads import pbf
from mapsvc.roads.pbf import MAX_BLOB_BYTES, MAX_HEADER_BYTES, PbfError, check_pbf
from tests.geo.worlds import examples


def varint(value: int) -> bytes:
    done = b""
    while value >= 0x80:
        done += bytes([value % 0x80 + 0x80])
        value //= 0x80
    return done + bytes([value])


def header(kind: bytes, blob_bytes: int, index: bytes = b"") -> bytes:
    """A BlobHeader and its length before it."""
    told = b"\x0a" + varint(len(kind)) + kind
    told += b"\x12" + varint(len(index)) + index if index else b""
    told += b"\x18" + varint(blob_bytes)
    return len(told).to_bytes(4, "big") + told


def block(kind: bytes, blob: bytes) -> bytes:
    return header(kind, len(blob), b"index" if kind == b"OSMData" else b"") + blob


HEAD = block(b"OSMHeader", b"h" * 20)
DATA = block(b"OSMData", b"d" * 300)


def why(path: Path) -> str:
    with pytest.raises(PbfError) as failure:
        check_pbf(path)
    assert str(path) in str(failure.value)
    return str(failure.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "somewhere.osm.pbf"


@pytest.mark.parametrize(
    "content", [HEAD + DATA, HEAD + DATA * 3, HEAD + block(b"OSMData", b""), HEAD + block(b"New", b"x") + DATA]
)
def test_a_whole_file_is_one(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    check_pbf(path)


def test_wherever_it_was_cut_it_is_not_whole_except_between_blocks(path: Path) -> None:
    whole = HEAD + DATA + DATA
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        if end == len(HEAD + DATA):
            check_pbf(path)  # it has no end mark
        else:
            said = why(path)
            if end > len(HEAD):
                assert "truncated" in said, end


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"no map at all", "no OSM PBF"),
        (b"PK\x03\x04" + b"zip" * 50, "no OSM PBF"),
        (b"\x00" * 50, "no OSM PBF"),
        (DATA + HEAD, "no OSM PBF"),
        (HEAD, "no data"),
        (HEAD * 3, "no data"),
        (HEAD + DATA + b"\x00", "damaged"),
        (HEAD + DATA + b"some text behind it", "damaged"),
        (HEAD + header(b"OSMData", MAX_BLOB_BYTES + 1), "damaged"),
        (HEAD + header(b"OSMData", 2**64 - 1), "damaged"),  # -1
        (HEAD + header(b"", 5) + b"x" * 5, "damaged"),
        (HEAD + (7).to_bytes(4, "big") + b"\x0a\x05OSM", "damaged"),
        (HEAD + b"\x00\x00\x00\x09\x0a\x07OSMData" + DATA, "damaged"),  # no size
        (HEAD + b"\xff\xff\xff\xff" + DATA, "damaged"),
        (HEAD + (MAX_HEADER_BYTES + 1).to_bytes(4, "big") + b"\x00" * 70_000, "damaged"),
    ],
)
def test_what_is_wrong_is_said(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    assert says in why(path)


def test_no_file_and_a_folder_are_told_as_the_system_tells_them(path: Path, tmp_path: Path) -> None:
    assert "No such file" in why(path)
    assert "directory" in why(tmp_path)


def test_blocks_are_walked_and_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten blobs of 30 MB that are not even on the disk."""
    seen = 0
    with path.open("wb") as file:
        file.write(HEAD)
        for _ in range(10):
            file.write(header(b"OSMData", 30 << 20))
            file.truncate(file.tell() + (30 << 20))
            file.seek(0, 2)
    real = pbf._blob_header

    def told(content: bytes, length: int) -> tuple[bytes, int]:
        nonlocal seen
        seen += len(content)
        return real(content, length)

    monkeypatch.setattr(pbf, "_blob_header", told)
    check_pbf(path)
    assert seen < 1000


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda more: HEAD + more))
@examples(150)
def test_random_bytes_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.osm.pbf"
    path.write_bytes(content)
    with pytest.raises(PbfError):
        check_pbf(path)
