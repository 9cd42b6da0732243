"""A file or a URL as a local file: a URL is fetched into a temporary folder first, within limits.

A register's address is what its operator publishes, but what answers there may be broken, endless or slow: every
dimension has its bound, and whatever goes wrong makes the file as a whole unreadable. Messages never show a URL's query
or user: that is where keys are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp
from tqdm import tqdm
from yarl import URL

from mapsvc.importers.report import UnreadableFile

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
CHUNK_BYTES = 1 << 16


class Limits(NamedTuple):
    """Of one download. The largest register we know (all of France, live) is a hundredth of `size_bytes`."""

    size_bytes: int = 1 << 30  # as sent, and once more for what it unpacks to
    connect_s: float = 20.0
    silence_s: float = 60.0  # without a byte
    total_s: float = 1800.0  # a trickle never trips `silence_s`
    redirects: int = 5


LIMITS = Limits()


def is_url(name: str) -> bool:
    return _SCHEME.match(name) is not None


@asynccontextmanager
async def local_file(name: str, limits: Limits = LIMITS) -> AsyncIterator[Path]:
    """`name` itself if it is a path, else what the URL answers, until the `async with` ends. Raises UnreadableFile."""
    if not is_url(name):
        yield Path(name)
        return
    with TemporaryDirectory(prefix="mapsvc-import-") as folder:
        path = Path(folder) / _file_name(name)
        try:
            await _fetch(URL(name), path, limits)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreadableFile(_why(error)) from None  # its own text may show the whole URL
        yield path


async def _fetch(url: URL, path: Path, limits: Limits) -> None:
    if url.scheme not in ("http", "https") or not url.host:
        raise UnreadableFile("only http and https URLs are fetched")
    timeout = aiohttp.ClientTimeout(limits.total_s, limits.connect_s, limits.silence_s, limits.connect_s)
    headers = {"Accept-Encoding": "identity", "User-Agent": "mapsvc"}  # gzip is known by its first bytes anyway
    async with (
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=True, headers=headers) as session,
        session.get(url, max_redirects=limits.redirects) as answer,
    ):
        if url.scheme == "https" and any(step.url.scheme != "https" for step in (*answer.history, answer)):
            raise UnreadableFile("redirected from https to http")
        if answer.status != 200:
            raise UnreadableFile(f"the server answers {answer.status}")
        if (answer.content_length or 0) > limits.size_bytes:
            raise UnreadableFile(f"{answer.content_length} bytes, more than {limits.size_bytes}")
        await _save(answer, path, limits.size_bytes)


async def _save(answer: aiohttp.ClientResponse, path: Path, most_bytes: int) -> None:
    silent = not sys.stderr.isatty()
    size = 0
    with (
        path.open("wb") as out,
        tqdm(total=answer.content_length, unit="B", unit_scale=True, desc=path.name, disable=silent) as bar,
    ):
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            size += len(chunk)
            if size > most_bytes:
                raise UnreadableFile(f"more than {most_bytes} bytes")
            out.write(chunk)
            bar.update(len(chunk))


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.TooManyRedirects):
        return "too many redirects"
    if isinstance(error, aiohttp.NonHttpUrlClientError):
        return "redirected to something else than http or https"
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return "not a usable URL"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer breaks off"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def shown_name(name: str) -> str:
    """A path as it is, a URL without user, query and fragment."""
    if not is_url(name):
        return name
    bare = re.split(r"[?#]", name, maxsplit=1)[0]
    return re.sub(r"(://)[^/]*@", r"\1", bare)


def _file_name(name: str) -> str:
    return (
        _UNSAFE.sub("_", shown_name(name).partition("://")[2].partition("/")[2].rpartition("/")[2])[-80:] or "download"
    )
