"""`GET /openapi.json` and `GET /docs`: made once at start, then sent as prepared bytes."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web

from mapsvc.docs_page import POLICY, render
from mapsvc.openapi.document import document
from mapsvc.openapi.operation import Operation
from mapsvc.openapi.reads import DOCS, OPENAPI
from mapsvc.params import parse_nothing
from mapsvc.replies import DESCRIPTION, JSON, of_published
from mapsvc.tiles import Published


class Documentation:
    """Of these operations and its own two. `base_url`: how clients reach us."""

    def __init__(self, operations: Sequence[Operation], base_url: str) -> None:
        told = document((*operations, OPENAPI, DOCS), base_url)
        self._document = Published(orjson.dumps(told))
        self._page = Published(render(told).encode())

    def routes(self) -> list[web.RouteDef]:
        return [OPENAPI.route(self.openapi), DOCS.route(self.docs)]

    async def openapi(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        return of_published(request, self._document, DESCRIPTION, JSON)

    async def docs(self, request: web.Request) -> web.Response:
        parse_nothing(request.rel_url.raw_query_string)
        response = of_published(request, self._page, DESCRIPTION, "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
        return response
