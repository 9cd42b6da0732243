"""A Valhalla on a flat country without streets: one drives along the air line at a speed of its own, and can be made to fail
as the real one may: silent, gone, slow, answering nulls, nonsense or errors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from geo.point import LatLon, haversine_m
from geo.polyline import encode
from mapsvc.roads.client import RoadsClient

SPEED_MS = 10.0


class FakeValhalla:
    """`detour_of(lat, lon)`: seconds more than the air line takes to get to a place; None: no road there."""

    def __init__(self) -> None:
        self.detour_of: Callable[[float, float], float | None] = lambda lat, lon: 0.0
        self.asked: Counter[str] = Counter()
        self.bodies: list[Mapping[str, Any]] = []
        self.fails: str = ""  # "", "silent", "closes", "closes once", "nulls", "nonsense", "500", "171", "442"
        self.slow_s = 0.0
        self.modified = 1
        self.at_once = self.most_at_once = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{action}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        action = request.match_info["action"]
        if action != "status":
            self.asked[action] += 1
        body = await request.read()
        self.at_once += action != "status"
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.slow_s:
                await asyncio.sleep(self.slow_s)
            match self.fails:
                case "silent":
                    await asyncio.sleep(60)
                case "closes" | "closes once":
                    if self.fails == "closes once":
                        self.fails = ""
                    assert request.transport is not None
                    request.transport.abort()
                case "nonsense":
                    return web.Response(text="<html>")
                case "500":
                    return web.json_response({"error_code": 199}, status=500)
                case "429":
                    return web.json_response({"message": "slow down"}, status=429)
                case "171" | "442":
                    return web.json_response({"error_code": int(self.fails)}, status=400)
        finally:
            self.at_once -= action != "status"
        if action == "tile":
            return web.Response(body=b"")
        asked = orjson.loads(body) if body else {}
        if action != "status":
            self.bodies.append(asked)
        made: Callable[[Mapping[str, Any]], Any] = getattr(self, f"_{action}")
        return web.json_response(made(asked))

    def _status(self, _: Mapping[str, Any]) -> Any:
        return {"version": "fake", "tileset_last_modified": self.modified}

    def _locate(self, asked: Mapping[str, Any]) -> Any:
        return [
            {"edges": [] if self.detour_of(one["lat"], one["lon"]) is None else [_edge(one)]}
            for one in asked["locations"]
        ]

    def _sources_to_targets(self, asked: Mapping[str, Any]) -> Any:
        seconds = [[self.seconds(source, one) for one in asked["targets"]] for source in asked["sources"]]
        km = [[None if s is None else s * SPEED_MS / 1000 for s in row] for row in seconds]
        return {"sources_to_targets": {"durations": seconds, "distances": km}}

    def _route(self, asked: Mapping[str, Any]) -> Any:
        places = asked["locations"]
        legs: list[dict[str, Any]] = []
        for a, b in pairwise(places):
            seconds = self.seconds(a, b) or 0.0
            shape = encode(np.array([a["lat"], b["lat"]]), np.array([a["lon"], b["lon"]]), 6)
            legs.append(
                {"summary": {"time": seconds, "length": seconds * SPEED_MS / 1000}, "shape": shape, "maneuvers": []}
            )
        whole = {name: sum(leg["summary"][name] for leg in legs) for name in ("time", "length")}
        return {"trip": {"summary": whole, "legs": legs}}

    def seconds(self, a: Mapping[str, float], b: Mapping[str, float]) -> float | None:
        if self.fails == "nulls":
            return None
        extra = self.detour_of(b["lat"], b["lon"])
        apart_m = haversine_m(LatLon(a["lat"], a["lon"]), LatLon(b["lat"], b["lon"]))
        return None if extra is None else round(apart_m / SPEED_MS + extra)


def _edge(place: Mapping[str, float]) -> dict[str, Any]:
    return {
        "way_id": round(place["lat"] * 1e6) * 1000 + round(place["lon"] * 1e3),
        "percent_along": 0.5,
        "correlated_lat": place["lat"],
        "correlated_lon": place["lon"],
    }


@asynccontextmanager
async def asking(fake: FakeValhalla, on_away: Callable[[str], None] = lambda _: None) -> AsyncIterator[RoadsClient]:
    """A client of it."""
    async with TestServer(fake.application()) as server:
        client = RoadsClient(Path("/nowhere"), str(server.make_url("")).rstrip("/"), on_away)
        running = client.run(web.Application())
        await anext(running)
        for _ in range(500):  # it asks which graph that is
            served = client.served()
            if fake.fails or served is None or served.graph != "given":
                break
            await asyncio.sleep(0.001)
        try:
            yield client
        finally:
            await anext(running, None)
