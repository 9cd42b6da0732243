"""The read handlers: each turns a typed query into an answer from the replica's world. No Redis, no SQL, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import urlencode

from aiohttp import web

from cache.codec import CodecError, evse_ids_of
from cache.tasks import end
from geo.evse_ids import EvseIds, SlotId
from geo.filters import Filter
from geo.select import nearest
from geo.summary_json import Summaries
from geo.tilemath import Tile, check_tile
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.guard import name_for_metrics
from mapsvc.listing import in_order, page_of, rows_in_box, rows_of_keys
from mapsvc.openapi import reads
from mapsvc.params import NearbyQuery, parse_list, parse_nearby, parse_station, parse_tile_filter
from mapsvc.problems import Fault, NotFound, Problem, Unavailable
from mapsvc.replies import (
    AGGREGATE_TILE,
    DESCRIPTION,
    GEOJSON,
    JSON,
    MVT,
    NO_HEADERS,
    REVALIDATE,
    STATION_TILE,
    Reply,
    of_published,
    of_reply,
)
from mapsvc.roads.drive_time import DriveTimes
from mapsvc.shape import Shape, shaped_list, shaped_station, with_members
from mapsvc.tilejson import tilejson
from mapsvc.tiles import MAX_ZOOM, MIN_STATION_ZOOM, Published, Tiles

BY_DRIVE_TIME = "/v1/nearby?sort=drive_time"  # in metrics: it waits for another process
IDS_AT_ONCE = 200  # documents read for their EVSE ids between two other things: about 2 ms
IDS_EVERY_S = 0.05  # so a million documents take four minutes and 4 % of a core; a request that needs them reads faster


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
        drive_times: DriveTimes,
    ) -> None:
        self._world = world
        self._tiles = tiles
        self._bodies = bodies
        self._now_ms = now_ms
        self._ready = ready
        self._base_url = base_url
        self._drive_times = drive_times
        self._evse_ids = EvseIds(world, _ids_of)
        self._reading_ids = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            reads.NEARBY.route(self.nearby),
            reads.STATIONS.route(self.stations),
            reads.STATION.route(self.station),
            reads.TILEJSON.route(self.tilejson),
            reads.TILE.route(self.tile),
        ]

    # -- answers, made at once ----------------------------------------------------------------------------------------

    def find_nearby(self, query: NearbyQuery) -> Reply:
        world, wanted = self._current(), query.wanted
        if not wanted:
            hits = world.nearby.nearest(query.at, query.radius_m, query.limit)
            return _list_reply(self._bodies.summaries(hits.rows, hits.metres), query.shape, None)
        found = nearest(world, query.at, query.radius_m, query.limit, wanted)
        items = self._bodies.filtered_summaries(found.rows, found.counts, found.max_kw, found.metres)
        return _list_reply(items, query.shape, found.unknown_hours if wanted.open_now else None)

    def find_station(self, key: str, shape: Shape) -> Reply:
        """`key`: the id in any case. Raises NotFound."""
        row = self._current().find(key.casefold())
        if row is None:
            raise NotFound("There is no such station.")
        return Reply(shaped_station(self._bodies.station(row), shape), _media_type(shape), REVALIDATE, etag=True)

    def find_tile(self, tile: Tile, wanted: Filter) -> Published | None:
        """None: it takes so long that others must have their turns meanwhile."""
        self._current()
        return self._tiles.find(tile, wanted, self._now_ms())

    def describe_tiles(self, query: str) -> Reply:
        """`query`: the filter as it was asked for. Raises Problem."""
        wanted = parse_tile_filter(query)
        return Reply(tilejson(self._base_url, f"?{query}" if wanted else ""), cache_control=DESCRIPTION, etag=True)

    # -- handlers -----------------------------------------------------------------------------------------------------

    async def nearby(self, request: web.Request) -> web.Response:
        query = parse_nearby(request.rel_url.raw_query_string)
        if not query.by_drive:
            return await of_reply(request, self.find_nearby(query))
        name_for_metrics(request, BY_DRIVE_TIME)
        return await of_reply(request, await self._driven(query))

    async def _driven(self, query: NearbyQuery) -> Reply:
        self._current()
        found = await self._drive_times.nearest(query)
        items = self._bodies.filtered_summaries(found.rows, found.counts, found.max_kw, found.metres)
        body = shaped_list(
            with_members(items.split(), map(_drive, found.seconds.tolist(), found.road_m.tolist())),
            query.shape,
            found.unknown_hours if query.wanted.open_now else None,
            {
                "degraded": bool(found.degraded),
                **({"degraded_reason": found.degraded} if found.degraded else {}),
                "proven": found.is_proven,
                "unreachable": found.unreachable,
            },
        )
        return Reply(body, _media_type(query.shape))

    async def stations(self, request: web.Request) -> web.Response:
        query = parse_list(request.rel_url.raw_query_string)
        world = self._current()
        if query.ids is not None:
            parts = rows_of_keys(world, query.ids, query.after)
        elif query.evse_id is not None:
            await self._read_evse_ids()
            world = self._current()  # time went by
            parts = in_order(world, self._evse_ids.rows(query.evse_id), query.after)
        else:
            assert query.box is not None
            parts = rows_in_box(world, query.box, query.after)
        page = page_of(world, parts, query.wanted, query.limit)
        headers = {}
        if page.more:
            last = int(world.stations.num[page.rows[-1]])
            headers["Link"] = f'<{self._base_url}/v1/stations?{_next_query(request, last)}>; rel="next"'
        items = self._bodies.filtered_summaries(page.rows, page.counts, page.max_kw)
        told = page.excluded if query.wanted.open_now else None
        return await of_reply(request, _list_reply(items, query.shape, told, headers))

    async def station(self, request: web.Request) -> web.Response:
        shape = parse_station(request.rel_url.raw_query_string)
        return await of_reply(request, self.find_station(request.match_info["id"], shape))

    async def tilejson(self, request: web.Request) -> web.Response:
        return await of_reply(request, self.describe_tiles(request.rel_url.raw_query_string))

    async def tile(self, request: web.Request) -> web.Response:
        path = request.match_info
        tile = tile_at(path["z"], path["x"], path["y"])
        wanted = parse_tile_filter(request.rel_url.raw_query_string)
        found = self.find_tile(tile, wanted) or await self._tiles.get_in_turns(tile, wanted, self._now_ms)
        return of_published(request, found, caching_of(tile), MVT)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _current(self) -> World:
        """The world as of this instant. Raises Unavailable while it is not loaded."""
        if not self._ready():
            raise Unavailable("The stations are still being loaded.")
        self._world.advance(self._now_ms())
        return self._world

    async def _read_evse_ids(self) -> None:
        """All that are left to read, in slices that let others through."""
        async with (
            self._reading_ids
        ):  # one reader, however many wait: else each added its slice to every turn of the loop
            while not self._evse_ids.catch_up(IDS_AT_ONCE):  # noqa: ASYNC110 (it waits for nothing but its turn)
                await asyncio.sleep(0)

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application: does in the background, in slices, what requests would wait for."""

        async def read_ids() -> None:
            while True:
                if self._ready():
                    self._evse_ids.catch_up(IDS_AT_ONCE)
                await asyncio.sleep(IDS_EVERY_S)

        reading = asyncio.create_task(read_ids())
        yield
        await end([reading])
        await self._drive_times.close()


def tile_at(z: str, x: str, y: str) -> Tile:
    """Raises Problem."""
    try:
        return check_tile(int(z), int(x), int(y), MAX_ZOOM)
    except ValueError as error:
        raise Problem("There is no such tile.", [Fault("z/x/y", str(error))]) from error


def caching_of(tile: Tile) -> str:
    return STATION_TILE if tile.z >= MIN_STATION_ZOOM else AGGREGATE_TILE


def _ids_of(doc: bytes) -> list[SlotId]:
    try:
        return [SlotId(slot, evse_id) for slot, evse_id in evse_ids_of(doc)]
    except CodecError:
        return []  # whoever asks for that station gets the error, and the log a line; the others are to be found


def _list_reply(items: Summaries, shape: Shape, excluded: int | None, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    return Reply(shaped_list(items.joined, shape, excluded), _media_type(shape), headers=headers)


def _drive(seconds: float, metres: float) -> dict[str, float | None]:
    """nan: not known."""
    known = seconds == seconds
    return {"drive_time_s": round(seconds) if known else None, "drive_distance_m": round(metres) if known else None}


def _media_type(shape: Shape) -> str:
    return GEOJSON if shape.geojson else JSON


def _next_query(request: web.Request, after: int) -> str:
    pairs = [(name, value) for name, value in request.query.items() if name != "after"]
    return urlencode([*pairs, ("after", str(after))], safe=",")
