"""`GET /`, the map page, and what it is made of: our own modules, the map library, the tiles of the basemap.

Names come from tables that are read at start: no path of a request reaches the file system. Library and basemap are fetched
and made at set-up (deploy/setup.sh, `.venv/page`); without them the page is a problem that says so, and the API goes on.
"""

from __future__ import annotations

import gzip
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from mapsvc.params import parse_nothing
from mapsvc.problems import NotFound, Unavailable
from mapsvc.replies import MVT, Answer, Head, accepts_gzip, matches, response_of
from mapsvc.tiles import Published

STATIC = Path(__file__).parent / "static"
BUILT = Path(sys.prefix) / "page"  # of the environment that set-up made
LIBRARY_FILES = ("maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css")
BASEMAP = "basemap.mbtiles"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip

OURS = "no-cache"  # the page, its modules and the library are of one version: asked for each time, and mostly a 304
TILE = "public, max-age=86400"
SETTINGS, MODULES = b"__SETTINGS__", b"__MODULES__"  # in index.html
MAX_ZOOM = 6
RETRY_S = 60


class Packed:
    """A file with its packed form, made at set-up."""

    def __init__(self, path: Path) -> None:
        self.plain = Published(path.read_bytes())
        packed = path.with_name(path.name + ".gz")
        self.packed = packed.read_bytes() if packed.exists() else gzip.compress(self.plain.body, 9, mtime=0)

    def answer(self, request: web.Request, content_type: str) -> web.Response:
        gzipped = accepts_gzip(request.headers) and len(self.packed) < len(self.plain.body)
        etag = self.plain.gzip_etag if gzipped else self.plain.etag
        if matches(request.headers, etag):
            return response_of(Answer(Head(304, OURS, "", False), b"", etag))
        body = self.packed if gzipped else self.plain.body
        return response_of(Answer(Head(200, OURS, content_type, gzipped), body, etag))


class MapPage:
    def __init__(self, style_url: str | None, static: Path = STATIC, built: Path = BUILT) -> None:
        settings = escape(orjson.dumps({"style_url": style_url}).decode()).encode()
        self._policy = policy(style_url)
        self._files = {path.name: Packed(path) for path in sorted(static.iterdir()) if path.suffix in CONTENT_TYPES}
        index = self._files.pop("index.html")
        body = index.plain.body.replace(SETTINGS, settings).replace(MODULES, _preloads(self._files))
        index.plain = Published(body)
        index.packed = gzip.compress(index.plain.body, 9, mtime=0)
        self._index = index
        self._library = {name: Packed(built / name) for name in LIBRARY_FILES if (built / name).exists()}
        self._basemap = _opened(built / BASEMAP)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.page),
            web.get("/page/lib/{name}", self.library),
            web.get("/page/basemap/{z}/{x}/{y}.mvt", self.tile),
            web.get("/page/{name}", self.file),
        ]

    async def page(self, request: web.Request) -> web.Response:
        if not self._library:
            raise Unavailable("The map page has not been set up (make setup); the API is described at /docs.", RETRY_S)
        response = self._index.answer(request, CONTENT_TYPES[".html"])
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Referrer-Policy"] = "no-referrer"
        return _as_it_is(response)

    async def file(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        return self._of(request, self._files)

    async def library(self, request: web.Request) -> web.Response:
        """MapLibre asks for its worker with `?v=` its version."""
        return self._of(request, self._library)

    def _of(self, request: web.Request, files: Mapping[str, Packed]) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise NotFound("No such file.")
        return _as_it_is(files[name].answer(request, CONTENT_TYPES[Path(name).suffix]))

    async def tile(self, request: web.Request) -> web.Response:
        """Where nothing is, an empty tile. A row is read in some 20 µs: it may be done here."""
        parse_nothing(request.rel_url.raw_query_string)
        z, x, y = (_whole(request.match_info[name]) for name in "zxy")
        if not (0 <= z <= MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z):
            raise NotFound("No such tile.")
        tile = Published(self._read(z, x, y))
        gzipped = bool(tile.body) and accepts_gzip(request.headers)
        etag = tile.gzip_etag if gzipped else tile.etag
        if matches(request.headers, etag):
            return response_of(Answer(Head(304, TILE, "", False), b"", etag))
        body = tile.body if gzipped or not tile.body else gzip.decompress(tile.body)
        return response_of(Answer(Head(200, TILE, MVT, gzipped), body, etag))

    def _read(self, z: int, x: int, y: int) -> bytes:
        if self._basemap is None:
            return b""
        query = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        row = self._basemap.execute(query, (z, x, 2**z - 1 - y)).fetchone()
        return bytes(row[0]) if row else b""


def _preloads(names: Iterable[str]) -> bytes:
    """All modules at once, instead of one after the other as each names those that it imports."""
    modules = (name for name in names if name.endswith(".js"))
    return "\n".join(f'<link rel="modulepreload" href="/page/{escape(name)}">' for name in modules).encode()


def policy(style_url: str | None) -> str:
    """Nothing from elsewhere; with a style of somebody else, pictures, tiles and fonts from wherever it has them."""
    elsewhere = ""
    if style_url is not None:
        elsewhere = f" {urlsplit(style_url).scheme}://{urlsplit(style_url).netloc} https:"
    return (
        "default-src 'none'; script-src 'self'; worker-src 'self' blob:; style-src 'self'; "
        f"img-src 'self' data: blob:{elsewhere}; connect-src 'self'{elsewhere}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _as_it_is(response: web.Response) -> web.Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def _opened(path: Path) -> sqlite3.Connection | None:
    with suppress(sqlite3.Error):
        return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) if path.exists() else None
    return None
