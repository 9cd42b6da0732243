"""A target that speaks the shape of the API, and no more: a handful of stations, the same tile everywhere, statuses that are
taken and told to whoever listens. `slow_tile_s`: how much longer a tile takes than it must. `roads`: it has some, under the
western of its two towns; `degraded_every`: so many answers by drive time have none."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from aiohttp import web

from geo.mvt import STATIONS
from tests.geo.points import encode_points

KEY = "key-of-the-tests"
PARTY = "FR*TST"
CPU_S = 0.125  # that each scrape finds to have been used since the last


def station(i: int) -> dict[str, Any]:
    town = 2.0 if i % 3 else 3.0  # two thirds of all stand in one place
    return {"id": f"{PARTY}~L{i}", "lat": 48.0 + i * 1e-4, "lon": town, "connectors": ["IEC_62196_T2_COMBO"],
            "max_power_kw": 150, "evses": {"available": 1}}  # fmt: skip


class FakeApi:
    def __init__(
        self,
        *,
        stations: int = 60,
        slow_tile_s: float = 0.0,
        failing: frozenset[str] = frozenset(),
        roads: bool = False,
        degraded_every: int = 0,
    ) -> None:
        self.stations = [station(i) for i in range(stations)]
        self.asked: Counter[str] = Counter()
        self.connections: set[int] = set()  # the clients' ports
        self.boxes: list[str] = []  # that stations were asked for in
        self.sent: list[dict[str, Any]] = []  # bodies that asked for ways and along lines
        self._slow_tile_s, self._failing = slow_tile_s, failing
        self._roads, self._degraded_every = roads, degraded_every
        self._streams: set[web.StreamResponse] = set()
        ids = np.arange(1, 40)
        self._tile = bytes(encode_points(STATIONS, ids, ids, ids, np.zeros((39, len(STATIONS.keys)), np.uint8)).data)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._count])
        for path, handler in (
            ("/v1/stations", self.list),
            ("/v1/stations/{id}", self.station),
            ("/v1/nearby", self.nearby),
            ("/v1/tiles/stations.json", self.tilejson),
            ("/v1/tiles/stations/{z}/{x}/{y}.mvt", self.tile),
            ("/v1/tiles/roads.json", self.road_tilejson),
            ("/v1/tiles/roads/{z}/{x}/{y}.mvt", self.road_tile),
            ("/v1/reachable", self.reachable),
            ("/v1/live", self.live),
            ("/metrics", self.metrics),
            ("/", self.hello),
        ):
            app.router.add_get(path, handler)
        app.router.add_post("/v1/heartbeat", self.heartbeat)
        app.router.add_post("/v1/status", self.status)
        app.router.add_post("/v1/route", self.route)
        app.router.add_post("/v1/along-route", self.along)
        return app

    @web.middleware
    async def _count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        name = f"{request.method} {request.path.split('/')[2] if request.path.startswith('/v1/') else request.path}"
        self.asked[name] += 1
        self.connections.add(request.transport.get_extra_info("peername")[1] if request.transport else 0)
        if name in self._failing and self.asked[name] % 10 == 0:
            raise web.HTTPInternalServerError
        return await handler(request)

    async def hello(self, _: web.Request) -> web.Response:
        return web.Response(text="hello, world")

    async def list(self, request: web.Request) -> web.Response:
        after, limit = int(request.query.get("after", "0")), 25
        self.boxes += request.query.getall("bbox", [])
        told = self.stations[after : after + limit]
        headers = {}
        if after + limit < len(self.stations):
            headers["Link"] = f'<http://elsewhere.example/v1/stations?after={after + limit}>; rel="next"'
        return web.json_response({"stations": told}, headers=headers)

    async def station(self, request: web.Request) -> web.Response:
        evses = [{"uid": "1", "status": "AVAILABLE"}]
        told = {
            "id": request.match_info["id"],
            "location_id": request.match_info["id"].partition("~")[2],
            "lat": 48,
            "lon": 2,
        }
        return web.json_response(told | {"evses": evses})

    async def nearby(self, request: web.Request) -> web.Response:
        if "sort" in request.query:
            return self._by_drive_time(request)
        assert float(request.query["lat"]) and int(request.query["limit"]) == 20
        return web.json_response({"stations": [one | {"distance_m": i} for i, one in enumerate(self.stations[:20])]})

    async def tilejson(self, request: web.Request) -> web.Response:
        return _tagged(request, json.dumps({"tilejson": "3.0.0", "tiles": ["x"], "vector_layers": [{}]}).encode())

    async def tile(self, request: web.Request) -> web.Response:
        if self._slow_tile_s:
            await asyncio.sleep(self._slow_tile_s)
        return _tagged(request, self._tile)

    async def metrics(self, _: web.Request) -> web.Response:
        used = CPU_S * self.asked["GET /metrics"]
        text = (
            f'mapsvc_cpu_seconds_total{{process="serve-1"}} {used}\nmapsvc_resident_bytes{{process="serve-1"}} 1e8\n'
            f'mapsvc_replica_lag_seconds{{process="serve-1"}} 0.01\n'
        )
        return web.Response(text=text)

    # -- roads --------------------------------------------------------------------------------------------------------

    def _by_drive_time(self, request: web.Request) -> web.Response:
        assert (request.query["sort"], request.query["limit"]) == ("drive_time", "10")
        assert self._has_roads(float(request.query["lon"]))
        self.asked["drive times"] += 1
        degraded = bool(self._degraded_every) and self.asked["drive times"] % self._degraded_every == 0
        driven = [(None, None) if degraded else (60 + i, 9 * i) for i in range(10)]
        stations = [
            one | {"distance_m": i, "drive_time_s": seconds, "drive_distance_m": metres}
            for i, (one, (seconds, metres)) in enumerate(zip(self.stations, driven, strict=False))
        ]
        return web.json_response({"stations": stations, "degraded": degraded, "proven": not degraded, "unreachable": 0})

    async def road_tilejson(self, _: web.Request) -> web.Response:
        if not self._roads:
            raise web.HTTPServiceUnavailable
        told = {"tilejson": "3.0.0", "tiles": ["x"], "vector_layers": [{}], "bounds": [1.5, 47.5, 3.5, 48.5]}
        return web.json_response(told)

    async def road_tile(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self._slow_tile_s)
        side = 2.0 ** int(request.match_info["z"]) / 360
        return web.Response(body=self._tile if self._has_roads(int(request.match_info["x"]) / side - 180) else b"")

    async def reachable(self, request: web.Request) -> web.Response:
        ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
        told = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
        return web.json_response(told | {"properties": {"minutes": float(request.query["minutes"])}})

    async def route(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        at = [self._place(one) for one in body["waypoints"]]
        if not all(self._has_roads(lon) for _, lon in at):
            raise web.HTTPUnprocessableEntity
        told = {
            "duration_s": 60,
            "distance_m": 900,
            "geometry": "{}@|\\",
            "legs": [{"duration_s": 60, "distance_m": 900}],
        }
        waypoints = [{"lat": lat, "lon": lon, "to_road_m": 20} for lat, lon in at]
        return web.json_response({"waypoints": waypoints, "routes": [told]})

    async def along(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        stations = [one | {"offset_m": 9 * i, "line_distance_m": 5, "detour_s": 30, "detour_m": 200}
                    for i, one in enumerate(self.stations[: body["limit"]])]  # fmt: skip
        told = {
            "stations": stations,
            "route": {"distance_m": 900},
            "considered": 20,
            "complete": True,
            "degraded": False,
        }
        return web.json_response(told)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        assert request.content_type == "application/json"
        body: dict[str, Any] = await request.json()
        self.sent.append(body)
        return body

    def _place(self, told: dict[str, Any]) -> tuple[float, float]:
        one = next(s for s in self.stations if s["id"] == told["station"]) if "station" in told else told
        return one["lat"], one["lon"]

    @staticmethod
    def _has_roads(lon: float) -> bool:
        return lon < 2.5

    # -- live ---------------------------------------------------------------------------------------------------------

    async def heartbeat(self, request: web.Request) -> web.Response:
        _authorized(request)
        return web.json_response({"parties": [PARTY]})

    async def status(self, request: web.Request) -> web.Response:
        _authorized(request)
        updates = json.loads(await request.read())
        stations = [
            {"id": f"{PARTY}~{one['location_id']}", "evses": {"available": int(one["status"] == "AVAILABLE")}}
            for one in updates
        ]
        event = f"event: change\ndata: {json.dumps({'stations': stations, 'tiles': []})}\n\nid: 1.2\n\n".encode()
        for stream in list(self._streams):
            await stream.write(event)
        return web.json_response({"outcomes": [{"outcome": "applied"}] * len(updates)})

    async def live(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(
            b'retry: 2000\n\nid: 0\n\nevent: snapshot\ndata: {"stations":[],"more":false}\n\nid: 1.1\n\n'
        )
        self._streams.add(response)
        try:
            while True:
                await asyncio.sleep(1.0)
                await response.write(b":\n\n")
        finally:
            self._streams.discard(response)


def _tagged(request: web.Request, body: bytes) -> web.Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(body=body, headers={"ETag": etag})


def _authorized(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        raise web.HTTPUnauthorized
