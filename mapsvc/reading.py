"""The read handlers: each turns a typed query into an answer from the replica's world. No Redis, no SQL, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import orjson
from aiohttp import web

from geo.filters import Filter
from geo.mvt import AGGREGATE_KEYS, AGGREGATES, STATIONS
from geo.select import select
from geo.tilemath import check_tile
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.listing import page_of, rows_in_box, rows_of_keys
from mapsvc.params import parse_list, parse_nearby, parse_nothing, parse_tile_filter
from mapsvc.problems import Fault, NotFound, Problem, Unavailable
from mapsvc.replies import AGGREGATE_TILE, DESCRIPTION, REVALIDATE, STATION_TILE, Reply, of_reply, of_tile
from mapsvc.tiles import MAX_ZOOM, MIN_STATION_ZOOM, Tiles


class Reader:
    """`ready`: whether the world is loaded; `base_url`: how clients reach us, for absolute URLs."""

    def __init__(
        self,
        world: World,
        tiles: Tiles,
        bodies: Bodies,
        now_ms: Callable[[], int],
        ready: Callable[[], bool],
        base_url: str,
    ) -> None:
        self._world = world
        self._tiles = tiles
        self._bodies = bodies
        self._now_ms = now_ms
        self._ready = ready
        self._base_url = base_url

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/nearby", self.nearby),
            web.get("/v1/stations", self.stations),
            web.get("/v1/stations/{id}", self.station),
            web.get("/v1/tiles/stations.json", self.tilejson),
            web.get(r"/v1/tiles/stations/{z:[0-9]{1,2}}/{x:[0-9]{1,9}}/{y:[0-9]{1,9}}.mvt", self.tile),
        ]

    async def nearby(self, request: web.Request) -> web.Response:
        query = parse_nearby(request.rel_url.raw_query_string)
        world = self._current()
        excluded = 0
        if not query.wanted:
            hits = world.nearby.nearest(query.at, query.radius_m, query.limit)
            items = self._bodies.summaries(hits.rows, hits.metres)
        else:
            hits = world.nearby.nearest(
                query.at, query.radius_m, query.limit, lambda rows: select(world, rows, query.wanted).keep
            )
            chosen = select(world, hits.rows, query.wanted)
            items = self._bodies.filtered_summaries(hits.rows, chosen.counts, chosen.max_kw, hits.metres)
            if query.wanted.open_now:
                excluded = int(select(world, hits.searched, query.wanted).unknown_hours.sum())
        return await of_reply(request, Reply(_listing(items, query.wanted, excluded)))

    async def stations(self, request: web.Request) -> web.Response:
        query = parse_list(request.rel_url.raw_query_string)
        world = self._current()
        if query.ids is not None:
            parts = rows_of_keys(world, query.ids, query.after)
        else:
            assert query.box is not None
            parts = rows_in_box(world, query.box, query.after)
        page = page_of(world, parts, query.wanted, query.limit)
        headers = {}
        if page.more:
            last = int(world.stations.num[page.rows[-1]])
            headers["Link"] = f'<{self._base_url}/v1/stations?{_next_query(request, last)}>; rel="next"'
        items = self._bodies.filtered_summaries(page.rows, page.counts, page.max_kw)
        return await of_reply(request, Reply(_listing(items, query.wanted, page.excluded), headers=headers))

    async def station(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        row = self._current().find(request.match_info["id"].casefold())
        if row is None:
            raise NotFound("There is no such station.")
        return await of_reply(request, Reply(self._bodies.station(row), cache_control=REVALIDATE, etag=True))

    async def tilejson(self, request: web.Request) -> web.Response:
        wanted = parse_tile_filter(request.rel_url.raw_query_string)
        query = f"?{request.rel_url.raw_query_string}" if wanted else ""
        return await of_reply(request, Reply(self._tilejson(query), cache_control=DESCRIPTION, etag=True))

    async def tile(self, request: web.Request) -> web.Response:
        path = request.match_info
        try:
            tile = check_tile(int(path["z"]), int(path["x"]), int(path["y"]), MAX_ZOOM)
        except ValueError as error:
            raise Problem("There is no such tile.", [Fault("z/x/y", str(error))]) from error
        wanted = parse_tile_filter(request.rel_url.raw_query_string)
        self._current()
        published = self._tiles.get(tile, wanted, self._now_ms())
        return of_tile(request, published, STATION_TILE if tile.z >= MIN_STATION_ZOOM else AGGREGATE_TILE)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _current(self) -> World:
        """The world as of this instant. Raises Unavailable while it is not loaded."""
        if not self._ready():
            raise Unavailable("The stations are still being loaded.")
        self._world.advance(self._now_ms())
        return self._world

    def _tilejson(self, query: str) -> bytes:
        """TileJSON 3.0.0."""
        stations = dict.fromkeys(STATIONS.keys, "a count, exact below 100 and rounded down above")
        stations["status"] = "0 unknown, 1 free, 2 busy, 3 out of service"
        stations["kw"] = "the largest power, kW, rounded down; 0: not known"
        aggregates = dict.fromkeys(AGGREGATE_KEYS, "a count of EVSEs")
        aggregates |= {
            "count": "stations",
            "max_kw": "the largest power, kW",
            "best_id": "id of the strongest station with a free EVSE",
            "best_kw": "its power, kW",
        }
        return orjson.dumps(
            {
                "tilejson": "3.0.0",
                "name": "Charging stations",
                "tiles": [f"{self._base_url}/v1/tiles/stations/{{z}}/{{x}}/{{y}}.mvt{query}"],
                "minzoom": 0,
                "maxzoom": MAX_ZOOM,
                "bounds": [-180, -85.051129, 180, 85.051129],
                "vector_layers": [
                    {"id": STATIONS.name, "minzoom": MIN_STATION_ZOOM, "maxzoom": MAX_ZOOM, "fields": stations},
                    {"id": AGGREGATES, "minzoom": 0, "maxzoom": MIN_STATION_ZOOM - 1, "fields": aggregates},
                ],
            }
        )


def _listing(items: list[bytes], wanted: Filter, excluded: int) -> bytes:
    if not wanted.open_now:
        return b'{"stations":[%b]}' % b",".join(items)
    return b'{"stations":[%b],"excluded_unknown_hours":%d}' % (b",".join(items), excluded)


def _next_query(request: web.Request, after: int) -> str:
    pairs = [(name, value) for name, value in request.query.items() if name != "after"]
    return urlencode([*pairs, ("after", str(after))], safe=",")
