"""PostGIS behind aiohttp: KNN on a geography with a GiST index, and ST_AsMVT on rows in the tiles' projection.

The database builds the whole answer (prepared summaries joined there, one value a request), over a pool whose connections
keep their prepared statements: Python only passes bytes on. DATABASE_URL says where.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from aiohttp import web

from loadtests.bench.peers.serving import serve

SQL = Path(__file__).resolve().parents[1] / "sql"
KNN = (SQL / "knn.sql").read_text(encoding="utf-8")
TILE = (SQL / "tile.sql").read_text(encoding="utf-8")
CONNECTIONS = 8  # the database has two cores; more connections only queue there
POOL = web.AppKey("pool", asyncpg.Pool)


async def nearby(request: web.Request) -> web.Response:
    query = request.query
    body = await request.app[POOL].fetchval(
        KNN, float(query["lon"]), float(query["lat"]), int(query["limit"]), float(query.get("radius_m", 10_000))
    )
    return web.Response(body=body.encode(), content_type="application/json")


async def tile(request: web.Request) -> web.Response:
    at = request.match_info
    body = await request.app[POOL].fetchval(TILE, int(at["z"]), int(at["x"]), int(at["y"]))
    return web.Response(body=body, content_type="application/vnd.mapbox-vector-tile")


async def pool(application: web.Application) -> AsyncIterator[None]:
    application[POOL] = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS, command_timeout=60
    )
    yield
    await application[POOL].close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    application = web.Application()
    application.cleanup_ctx.append(pool)
    application.router.add_get("/nearby", nearby)
    application.router.add_get("/tiles/{z}/{x}/{y}", tile)
    serve(application, parser.parse_args().port)


if __name__ == "__main__":
    main()
