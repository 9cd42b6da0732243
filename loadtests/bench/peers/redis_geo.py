"""Redis behind aiohttp: GEOSEARCH for the nearest ids with their distances, MGET for their prepared summaries.

Tile38 speaks the same protocol and finds neighbours by an R-tree: with --tile38 the first command is its NEARBY, and the
summaries still come from Redis, where they are cheapest.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import redis.asyncio as redis
from aiohttp import web

from loadtests.bench.peers.serving import serve

KEY = "stations"
CONNECTIONS = 16
Search = Callable[[float, float, int, float], Awaitable[list[tuple[bytes, float]]]]
"""(lat, lon, limit, radius_m) → member and metres, nearest first."""


def client(port: int) -> redis.Redis:
    return redis.Redis(
        connection_pool=redis.BlockingConnectionPool(
            host="127.0.0.1", port=port, max_connections=CONNECTIONS, timeout=60
        )
    )


def by_geosearch(connection: redis.Redis) -> Search:
    async def search(lat: float, lon: float, limit: int, radius_m: float) -> list[tuple[bytes, float]]:
        found = await connection.execute_command(  # type: ignore[no-untyped-call]
            *("GEOSEARCH", KEY, "FROMLONLAT", lon, lat, "BYRADIUS", radius_m, "m", "ASC", "COUNT", limit, "WITHDIST")
        )
        return [(member, float(metres)) for member, metres in found]

    return search


def by_tile38(connection: redis.Redis) -> Search:
    async def search(lat: float, lon: float, limit: int, radius_m: float) -> list[tuple[bytes, float]]:
        _cursor, found = await connection.execute_command(  # type: ignore[no-untyped-call]
            "NEARBY", KEY, "LIMIT", limit, "DISTANCE", "IDS", "POINT", lat, lon, radius_m
        )
        return [(item[0], float(item[-1])) for item in found]

    return search


def app(search: Search, summaries: redis.Redis) -> web.Application:
    async def nearby(request: web.Request) -> web.Response:
        query = request.query
        found = await search(
            float(query["lat"]), float(query["lon"]), int(query["limit"]), float(query.get("radius_m", 10_000))
        )
        parts: list[Any] = await summaries.mget([member for member, _ in found]) if found else []
        body = b",".join(
            b'%b,"distance_m":%.1f}' % (part[:-1], metres) for part, (_, metres) in zip(parts, found, strict=True)
        )
        return web.Response(body=b'{"stations":[%b]}' % body, content_type="application/json")

    async def connections(_application: web.Application) -> AsyncIterator[None]:
        yield
        await summaries.aclose()

    application = web.Application()
    application.cleanup_ctx.append(connections)
    application.router.add_get("/nearby", nearby)
    return application


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", type=int, required=True, metavar="PORT")
    parser.add_argument("--tile38", type=int, metavar="PORT")
    args = parser.parse_args()
    summaries = client(args.redis)
    serve(app(by_tile38(client(args.tile38)) if args.tile38 else by_geosearch(summaries), summaries), args.port)


if __name__ == "__main__":
    main()
