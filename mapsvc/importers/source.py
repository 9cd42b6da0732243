"""Reading a register's file: plain or gzip, with a progress bar by bytes read when someone is watching."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tqdm import tqdm

from mapsvc.importers.report import UnreadableFile

GZIP_MAGIC = b"\x1f\x8b"
BUFFER_BYTES = 1 << 16  # what one read of the file asks for, and so the step of the progress bar


@contextmanager
def open_source(path: Path, *, progress: bool | None = None, most_bytes: int | None = None) -> Iterator[BinaryIO]:
    """The file's bytes, gunzipped if it begins like gzip (names lie). `progress` None: a bar when stderr is a terminal.
    `most_bytes`: what a gzip may unpack to, where it comes from strangers.

    A file that cannot be opened or read on, or whose gzip is torn, raises `UnreadableFile`, halfway too. Errors of the
    caller's own inside the `with` pass through unchanged: that is why reads are guarded one by one.
    """
    silent = not (sys.stderr.isatty() if progress is None else progress)
    try:
        size, raw = path.stat().st_size, path.open("rb", buffering=0)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror or error}") from error
    with raw, tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=silent, file=sys.stderr) as bar:
        plain = _guarded(path, cast(BinaryIO, raw), bar.update)
        if plain.peek(2)[:2] != GZIP_MAGIC:
            yield plain
        else:
            yield _guarded(path, cast(BinaryIO, gzip.GzipFile(fileobj=plain)), _bound(path, most_bytes))


def _bound(path: Path, most_bytes: int | None) -> Callable[[int], object] | None:
    if most_bytes is None:
        return None
    left = most_bytes

    def spend(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise UnreadableFile(f"{path}: unpacks to more than {most_bytes} bytes")

    return spend


def _guarded(path: Path, inner: BinaryIO, advance: Callable[[int], object] | None = None) -> io.BufferedReader:
    return io.BufferedReader(_Guarded(path, inner, advance), BUFFER_BYTES)


class _Guarded(io.RawIOBase):
    """Passes reads on, telling `advance` how many bytes came, and turns the file's own errors into `UnreadableFile`."""

    def __init__(self, path: Path, inner: BinaryIO, advance: Callable[[int], object] | None) -> None:
        self._path = path
        self._inner = inner
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is private
        try:
            chunk = self._inner.read(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnreadableFile(f"{self._path}: damaged gzip: {error}") from error
        except OSError as error:
            raise UnreadableFile(f"{self._path}: {error.strerror or error}") from error
        buffer[: len(chunk)] = chunk
        if self._advance:
            self._advance(len(chunk))
        return len(chunk)
