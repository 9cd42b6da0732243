"""Bare aiohttp: one route, one prepared body. What HTTP itself costs in this framework, and no more.

python -m loadtests.bench.peers.hello --port 9000 --body FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

from aiohttp import web

from loadtests.bench.peers.serving import serve


def app(body: bytes, content_type: str) -> web.Application:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    application = web.Application()
    application.router.add_get("/hello", hello)
    return application


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, help="a file to answer with (default: 13 bytes)")
    parser.add_argument("--content-type", default="application/json")
    args = parser.parse_args()
    body = args.body.read_bytes() if args.body else b'"hello world"'
    serve(app(body, args.content_type), args.port)


if __name__ == "__main__":
    main()
