"""A recording's lines: plain, gzip or zstd, told by how the file begins."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from mapsvc.importers.report import UnreadableFile
from mapsvc.importers.source import open_source

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 16


@contextmanager
def recording(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes. Raises UnreadableFile for a damaged or torn one, halfway too."""
    with open_source(path) as plain:
        if cast(Any, plain).peek(4)[:4] == ZSTD_MAGIC:
            yield cast(BinaryIO, io.BufferedReader(_Unpacked(path, plain)))
        else:
            yield plain


class _Unpacked(io.RawIOBase):
    """Frame after frame. Not `ZstdDecompressor.stream_reader`: that one takes a torn file for a finished one."""

    def __init__(self, path: Path, packed: BinaryIO) -> None:
        self._path = path
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._waiting = b""  # packed bytes of the next frame
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is private
        while not self._plain:
            chunk = self._waiting or self._packed.read(CHUNK_BYTES)
            if not chunk:
                if self._frame.eof:
                    return 0
                raise UnreadableFile(f"{self._path}: torn zstd: the end is missing")
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                self._plain = memoryview(self._frame.decompress(chunk))
            except zstandard.ZstdError as error:
                raise UnreadableFile(f"{self._path}: damaged zstd: {error}") from error
            self._waiting = self._frame.unused_data
        size = min(len(buffer), len(self._plain))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size
