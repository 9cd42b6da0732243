"""`GET /` and what the map page is made of: types, caching, packing, the policy, nothing but the names in the tables."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from mapsvc.app import build
from mapsvc.guard import Guard
from mapsvc.limits import RateLimit
from mapsvc.metrics import Metrics
from mapsvc.page import basemap, serving
from mapsvc.page.serving import MapPage, policy
from mapsvc.settings import Settings

Client = TestClient[web.Request, web.Application]

STYLE_URL = 'https://tiles.example/style.json?key="><script>alert(1)</script>'
INDEX = b'<!doctype html><meta name="mapsvc" content="__SETTINGS__"><script type="module" src="/page/app.js"></script>'
SCRIPT = b"export const many = 1;\n" * 100
LIBRARY = b"export class Map {}\n" * 200
TILE = b"a tile " * 50
PLAIN, PACKED = {"Accept-Encoding": "identity"}, {"Accept-Encoding": "br, gzip"}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    files = {
        "index.html": INDEX,
        "app.js": SCRIPT,
        "page.css": b"body{}",
        "icon.svg": b"<svg/>",
        "notes.txt": b"secret",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """As set-up leaves it: the packed library beside the plain one, one tile (z 6, x 32, y 22)."""
    folder = tmp_path / "page"
    folder.mkdir()
    for name in serving.LIBRARY_FILES:
        (folder / name).write_bytes(LIBRARY)
        (folder / f"{name}.gz").write_bytes(gzip.compress(LIBRARY, 9, mtime=0))
    (folder / "made").write_text("stamp")
    with sqlite3.connect(folder / serving.BASEMAP) as file:
        file.execute("CREATE TABLE tiles (zoom_level int, tile_column int, tile_row int, tile_data blob)")
        file.execute("INSERT INTO tiles VALUES (6, 32, 41, ?)", (gzip.compress(TILE),))
    file.close()
    return folder


async def opened(page: MapPage, metrics: Metrics | None = None) -> Client:
    guard = Guard(metrics or Metrics("test"), RateLimit(0))
    application = web.Application(middlewares=[guard.middleware()])
    application.add_routes(page.routes())
    client = TestClient(TestServer(application), auto_decompress=False)
    await client.start_server()
    return client


@pytest.fixture
async def client(static: Path, built: Path) -> AsyncIterator[Client]:
    client = await opened(MapPage(None, static, built))
    yield client
    await client.close()


def directives(answer: ClientResponse) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: words for name, *words in parts}


# -- the page ---------------------------------------------------------------------------------------------------------


async def test_the_page_lets_nothing_in_from_elsewhere(client: Client) -> None:
    answer = await client.get("/?from=a+newsletter", headers=PLAIN)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert directives(answer) == {
        "default-src": ["'none'"], "script-src": ["'self'"], "worker-src": ["'self'", "blob:"], "style-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"], "connect-src": ["'self'"], "base-uri": ["'none'"],
        "form-action": ["'none'"], "frame-ancestors": ["'none'"],
    }  # fmt: skip


class Settled(HTMLParser):
    """What a browser reads from the page: the content of <meta name=mapsvc>, and the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.content, self.scripts = "", 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if ("name", "mapsvc") in attrs:
            self.content = str(dict(attrs)["content"])
        self.scripts += tag == "script"


@pytest.mark.parametrize("style_url", [None, STYLE_URL])
async def test_the_page_is_told_its_settings_and_no_setting_becomes_markup(
    static: Path, built: Path, style_url: str | None
) -> None:
    client = await opened(MapPage(style_url, static, built))
    for headers in (PLAIN, PACKED):
        body = await (await client.get("/", headers=headers)).read()
        settled = Settled((gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode())
        assert orjson.loads(settled.content) == {"style_url": style_url}
        assert settled.scripts == 1
    await client.close()


def test_a_style_of_somebody_else_may_load_pictures_tiles_and_fonts_but_no_script() -> None:
    told = {
        name: words for name, *words in (part.split() for part in policy("http://tiles.example:81/s.json").split(";"))
    }
    assert told["connect-src"] == ["'self'", "http://tiles.example:81", "https:"]
    assert told["img-src"] == ["'self'", "data:", "blob:", "http://tiles.example:81", "https:"]
    ours = {name: words for name, *words in (part.split() for part in policy(None).split(";"))}
    assert {name for name in told if told[name] != ours[name]} == {"connect-src", "img-src"}


async def test_without_set_up_the_page_says_so_and_the_rest_of_its_files_is_not_there(
    static: Path, tmp_path: Path
) -> None:
    client = await opened(MapPage(None, static, tmp_path / "nothing"))
    answer = await client.get("/")
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert "make setup" in orjson.loads(await answer.read())["detail"]
    assert (await client.get("/page/lib/maplibre-gl.mjs")).status == 404
    tile = await client.get("/page/basemap/6/32/22.mvt")
    assert (tile.status, await tile.read()) == (200, b"")
    await client.close()


# -- files ------------------------------------------------------------------------------------------------------------

FILES = {
    "/page/app.js": ("text/javascript; charset=utf-8", SCRIPT),
    "/page/page.css": ("text/css; charset=utf-8", b"body{}"),
    "/page/icon.svg": ("image/svg+xml", b"<svg/>"),
    "/page/lib/maplibre-gl.mjs": ("text/javascript; charset=utf-8", LIBRARY),
    "/page/lib/maplibre-gl-worker.mjs": ("text/javascript; charset=utf-8", LIBRARY),
    "/page/lib/maplibre-gl.css": ("text/css; charset=utf-8", LIBRARY),
}


@pytest.mark.parametrize("path", FILES)
async def test_a_file_has_its_type_and_is_asked_for_each_time(client: Client, path: str) -> None:
    content_type, content = FILES[path]
    answer = await client.get(path, headers=PLAIN)
    assert (answer.status, answer.headers["Content-Type"], await answer.read()) == (200, content_type, content)
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("no-cache", "Accept-Encoding")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/lib/maplibre-gl.mjs", "/page/basemap/6/32/22.mvt"])
async def test_a_file_is_packed_for_who_takes_it_and_known_again_by_its_tag(client: Client, path: str) -> None:
    plain, packed = [await client.get(path, headers=headers) for headers in (PLAIN, PACKED)]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await packed.read()) == await plain.read()
    assert plain.headers["ETag"] != packed.headers["ETag"]
    for one, headers in ((plain, PLAIN), (packed, PACKED)):
        again = await client.get(path, headers={**headers, "If-None-Match": one.headers["ETag"]})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", one.headers["ETag"])
        assert again.headers["Cache-Control"] == one.headers["Cache-Control"]
        other = await client.get(path, headers={**headers, "If-None-Match": '"something else"'})
        assert other.status == 200


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/lib/maplibre-gl.css", "/page/basemap/6/32/22.mvt"])
async def test_head_says_what_get_says(client: Client, path: str) -> None:
    get, head = await client.get(path, headers=PACKED), await client.head(path, headers=PACKED)
    assert (head.status, await head.read()) == (200, b"")
    differing = {name for name in get.headers if name != "Date" and get.headers[name] != head.headers.get(name)}
    assert differing == set()
    assert (await client.post(path)).status == 405


def test_a_changed_file_has_another_tag(static: Path, built: Path) -> None:
    before = MapPage(None, static, built)._index.plain.etag
    (static / "index.html").write_bytes(INDEX + b"<p>new")
    assert MapPage(None, static, built)._index.plain.etag != before
    assert MapPage("https://tiles.example/s.json", static, built)._index.plain.etag != before


@pytest.mark.parametrize(
    "path",
    [
        "/page/nothing.js", "/page/index.html", "/page/notes.txt", "/page/", "/page", "/page/lib/", "/page/lib/made",
        "/page/lib/basemap.mbtiles", "/page/lib/maplibre-gl.mjs.gz", "/page/lib/app.js", "/page/maplibre-gl.mjs",
        "/page/../page/notes.txt", "/page/../../page/made", "/page/..%2fpage%2fmade", "/page/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/page/lib/..%2fmade", "/page/lib/%2e%2e/made", "/page/lib/%2fetc%2fpasswd", "/page/app.js%00", "/page/..%5cnotes.txt",
        "/page/lib/../static/notes.txt", "/page/basemap/../made", "/page/basemap/6/32/..%2f..%2fmade.mvt",
    ],
)  # fmt: skip
async def test_what_no_table_names_is_not_there(client: Client, path: str) -> None:
    answer = await client.get(URL(path, encoded=True))
    assert (answer.status, answer.content_type) == (404, "application/problem+json"), path


async def test_a_file_takes_no_parameters(client: Client) -> None:
    assert (await client.get("/page/app.js?x=1")).status == 400
    assert (await client.get("/page/basemap/0/0/0.mvt?x=1")).status == 400


# -- tiles of the basemap ---------------------------------------------------------------------------------------------


async def test_a_tile_is_a_vector_tile_counted_from_the_north(client: Client) -> None:
    answer = await client.get("/page/basemap/6/32/22.mvt", headers=PLAIN)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/vnd.mapbox-vector-tile")
    assert await answer.read() == TILE
    assert answer.headers["Cache-Control"] == "public, max-age=86400"
    for path in ("/page/basemap/6/32/41.mvt", "/page/basemap/0/0/0.mvt"):
        empty = await client.get(path, headers=PACKED)
        assert (empty.status, await empty.read()) == (200, b"")
        assert "Content-Encoding" not in empty.headers


@pytest.mark.parametrize(
    "tile",
    [
        "7/0/0",
        "0/1/0",
        "0/0/1",
        "6/64/0",
        "6/0/64",
        "-1/0/0",
        "a/0/0",
        "0/0/٠",
        "1/0/0.5",
        "1/0/1e0",
        "9" * 5000 + "/0/0",
    ],
)
async def test_a_tile_beyond_the_map_is_not_there(client: Client, tile: str) -> None:
    assert (await client.get(URL(f"/page/basemap/{quote(tile)}.mvt", encoded=True))).status == 404


def test_serving_and_making_agree_on_how_deep_the_basemap_goes() -> None:
    assert serving.MAX_ZOOM == basemap.MAX_ZOOM


# -- in the service ---------------------------------------------------------------------------------------------------


async def test_the_requests_of_the_page_are_measured_by_route(static: Path, built: Path) -> None:
    metrics = Metrics("test")
    client = await opened(MapPage(None, static, built), metrics)
    for path in ("/", "/page/app.js", "/page/page.css", "/page/lib/maplibre-gl.css", "/page/basemap/6/32/22.mvt"):
        await client.get(path)
    counts = dict(
        re.findall(r'mapsvc_request_seconds_count\{[^}]*route="([^"]*)"[^}]*\} (\d+)', metrics.exposition().decode())
    )
    assert counts == {"/": "1", "/page/{name}": "2", "/page/lib/{name}": "1", "/page/basemap/{z}/{x}/{y}.mvt": "1"}
    await client.close()


@pytest.fixture
def made() -> Iterator[Path]:
    if not (serving.BUILT / "made").exists():
        pytest.skip("set-up could not make the page here (see var/setup/page.log)")
    yield serving.BUILT


async def test_a_worker_serves_all_that_its_page_and_modules_ask_for(made: Path) -> None:
    """The real files: what is linked and imported is there, and the library is the one that is locked."""
    settings = Settings(redis_url="redis://127.0.0.1:1")  # nobody listens, and nobody is asked
    worker = build(settings, Metrics("test"), "http://127.0.0.1")
    async with TestClient(TestServer(worker.application)) as client:
        page = await (await client.get("/")).text()
        assert "__SETTINGS__" not in page
        wanted, seen = set(re.findall(r'(?:src|href)="(/page/[^"]+)"', page)), set[str]()
        assert len(wanted) >= 4
        while wanted:
            path = wanted.pop()
            seen.add(path)
            answer = await client.get(path)
            assert answer.status == 200, path
            if path.endswith(".js"):
                names = re.findall(r'(?:from|import\(?)\s*"\./([^"]+)"', await answer.text())
                wanted |= {f"/page/{name}" for name in names} - seen
        modules = {f"/page/{path.name}" for path in serving.STATIC.glob("*.js")}
        assert modules <= seen, "a module that nobody imports"
        library = await (await client.get("/page/lib/maplibre-gl.mjs")).text()
        lock = orjson.loads((Path(serving.__file__).parent / "package-lock.json").read_bytes())
        assert f"v{lock['packages']['node_modules/maplibre-gl']['version']}" in library[:1000]


def test_what_comes_from_a_registry_is_pinned_by_hash_and_names_no_registry() -> None:
    folder = Path(serving.__file__).parent
    wanted = orjson.loads((folder / "package.json").read_bytes())["dependencies"]
    locked = orjson.loads((folder / "package-lock.json").read_bytes())["packages"]
    assert locked.pop("")["dependencies"] == wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {f"node_modules/{name}" for name in wanted} <= locked.keys()
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in locked.values())
