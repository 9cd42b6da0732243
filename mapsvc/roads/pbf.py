"""Whether a file is a whole OSM PBF file, told at once: its blocks are walked, not read.

Format: https://wiki.openstreetmap.org/wiki/PBF_Format. A file is a sequence of: length of a BlobHeader (4 bytes, big endian),
BlobHeader (a protobuf: 1 type, 3 datasize), Blob of `datasize` bytes. It has no end mark: one that was cut between two blocks
looks whole.
"""

from __future__ import annotations

import os
from pathlib import Path

from geo.protobuf import ProtobufError, fields

MAX_HEADER_BYTES = 64 << 10  # of a BlobHeader
MAX_BLOB_BYTES = 32 << 20


class PbfError(ValueError):
    """What is wrong with the file, for the person who gave it."""


def check_pbf(path: Path) -> None:
    """Raises PbfError, naming the file."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise PbfError(f"{path} is empty")
            kinds: set[bytes] = set()
            at = 0
            while at < size:
                head = file.read(4)
                length = int.from_bytes(head, "big")
                if not kinds and not 0 < length <= MAX_HEADER_BYTES:
                    raise PbfError(f"{path} is no OSM PBF file")
                kind, blob_bytes = _blob_header(file.read(length) if length <= MAX_HEADER_BYTES else b"", length)
                if not kinds and kind != b"OSMHeader":
                    raise PbfError(f"{path} is no OSM PBF file")
                kinds.add(kind)
                at += 4 + length + blob_bytes
                file.seek(at)
            if at != size:
                raise PbfError(
                    f"{path} ends too early: it is truncated ({size} bytes are there, at least {at} belong to it)"
                )
            if b"OSMData" not in kinds:
                raise PbfError(f"{path} has no data in it")
    except ProtobufError:
        raise PbfError(
            f"{path} is truncated or damaged near byte {at}" if kinds else f"{path} is no OSM PBF file"
        ) from None
    except OSError as error:
        raise PbfError(f"{path}: {error.strerror}") from None


def _blob_header(header: bytes, length: int) -> tuple[bytes, int]:
    """Type and size of the blob that follows. Raises ProtobufError."""
    kind, blob_bytes = b"", -1
    for field in fields(header):
        if field.number == 1:
            kind = header[field.begin : field.end]
        elif field.number == 3:
            blob_bytes = field.value
    if len(header) != length or not kind or not 0 <= blob_bytes <= MAX_BLOB_BYTES:
        raise ProtobufError("no BlobHeader")
    return kind, blob_bytes
