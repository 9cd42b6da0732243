"""The routing endpoints: each parses a request, has it answered on the roads, and tells it in our words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import orjson
import shapely
from aiohttp import web

from geo.columns import Rows
from geo.point import Box, unit_vectors
from geo.select import select
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.body import BODY_BYTES, SMALL_BODY_BYTES, read_body
from mapsvc.listing import rows_in_box
from mapsvc.openapi import roads as operations
from mapsvc.params import parse_nothing
from mapsvc.problems import Unavailable
from mapsvc.reading import tile_at
from mapsvc.replies import DESCRIPTION, GEOJSON, MVT, Reply, of_published, of_reply
from mapsvc.roads.along import Along, Found, parse_along
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.reachable import Area, ReachableQuery, area, parse_reachable, told_properties
from mapsvc.roads.route import parse_route, routes
from mapsvc.roads.snapping import Snaps
from mapsvc.roads.tiles import RoadTiles
from mapsvc.shape import with_members


class Roads:
    """`ready`: whether the world is loaded."""

    def __init__(
        self,
        world: World,
        bodies: Bodies,
        client: RoadsClient,
        snaps: Snaps,
        now_ms: Callable[[], int],
        ready: Callable[[], bool],
        base_url: str,
    ) -> None:
        self._world = world
        self._bodies = bodies
        self._client = client
        self._snaps = snaps
        self._now_ms = now_ms
        self._ready = ready
        self._along = Along(world, now_ms, client, snaps)
        self._tiles = RoadTiles(client, base_url)

    def routes(self) -> list[web.RouteDef]:
        return [
            operations.ROUTE.route(self.route),
            operations.ALONG_ROUTE.route(self.along_route),
            operations.REACHABLE.route(self.reachable),
            operations.ROAD_TILEJSON.route(self.tilejson),
            operations.ROAD_TILE.route(self.tile),
        ]

    async def route(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        body = await read_body(request, SMALL_BODY_BYTES)
        query = parse_route(body, self._current())
        return await of_reply(request, Reply(orjson.dumps(await routes(self._client, query))))

    async def along_route(self, request: web.Request) -> web.Response:
        body = await read_body(request, BODY_BYTES)
        query = parse_along(request.rel_url.raw_query_string, body, self._current())
        return await of_reply(request, Reply(self._told_along(await self._along.find(query))))

    async def reachable(self, request: web.Request) -> web.Response:
        query = parse_reachable(request.rel_url.raw_query_string)
        self._current()
        found = await area(self._client, self._snaps, query)
        return await of_reply(request, Reply(self._told_area(query, found), GEOJSON))

    async def tilejson(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        return await of_reply(request, Reply(self._tiles.describe(), cache_control=DESCRIPTION, etag=True))

    async def tile(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        path = request.match_info
        tile = tile_at(path["z"], path["x"], path["y"])
        return of_published(request, await self._tiles.find(tile), DESCRIPTION, MVT)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _current(self) -> World:
        """The world as of this instant. Raises Unavailable while it is not loaded."""
        if not self._ready():
            raise Unavailable("The stations are still being loaded.")
        self._world.advance(self._now_ms())
        return self._world

    def _told_along(self, found: Found) -> bytes:
        items = self._bodies.filtered_summaries(found.rows, found.counts, found.max_kw)
        stations = with_members(
            items.split(),
            (
                {
                    "offset_m": round(offset_m),
                    "line_distance_m": round(distance_m),
                    "detour_s": _whole(detour_s),
                    "detour_m": _whole(detour_m),
                }
                for offset_m, distance_m, detour_s, detour_m in zip(
                    found.offset_m.tolist(), found.distance_m.tolist(), found.detour_s.tolist(), found.detour_m.tolist(),
                    strict=True,
                )
            ),
        )  # fmt: skip
        route: dict[str, Any] = {"distance_m": round(found.length_m)}
        if found.duration_s is not None:
            route["duration_s"] = round(found.duration_s)
        told = {
            "route": route,
            "considered": found.considered,
            "complete": found.is_complete,
            "degraded": bool(found.degraded),
            **({"degraded_reason": found.degraded} if found.degraded else {}),
        }
        return b'{"stations":[%b],%b' % (stations, orjson.dumps(told)[1:])

    def _told_area(self, query: ReachableQuery, found: Area) -> bytes:
        told: dict[str, Any] = {
            "type": "Feature",
            "geometry": found.geometry,
            "properties": told_properties(query),
        }
        if found.shape is None:
            return orjson.dumps(told)
        rows, count = self._inside(found.shape, query)
        chosen = select(self._current(), rows, query.wanted)
        items = self._bodies.filtered_summaries(rows, chosen.counts, chosen.max_kw)
        told["stations_inside"] = count
        return b'%b,"stations":[%b]}' % (orjson.dumps(told)[:-1], items.joined)

    def _inside(self, area: shapely.Geometry, query: ReachableQuery) -> tuple[Rows, int]:
        """The nearest matching stations of the area by air line, ties in order of num, and how many match."""
        world = self._current()
        west, south, east, north = area.bounds
        parts = list(rows_in_box(world, Box(west, south, east, north), -1))
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        rows = rows[select(world, rows, query.wanted).keep]
        s = world.stations
        rows = rows[shapely.contains_xy(area, s.lon[rows], s.lat[rows])]
        here = unit_vectors(np.array([query.at.lat]), np.array([query.at.lon]))[0]
        nearest_first = np.argsort(-(s.xyz[rows] @ here), kind="stable")
        return rows[nearest_first[: query.limit]], len(rows)

    async def run(self, application: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application."""
        async for _ in self._client.run(application):
            yield


def _whole(value: float) -> int | None:
    return round(value) if value == value else None  # nan: not known
