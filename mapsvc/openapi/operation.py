"""An operation of the API as a value: what its route, /openapi.json and /docs are made from.

Whoever owns a handler declares its `Operation` beside its parameters and registers the handler with `operation.route`;
mapsvc/app.py collects the operations for the document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web

from mapsvc.parameter import Parameter, Schema

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON_TYPE = "application/json"
NOTHING: Mapping[str, Any] = MappingProxyType({})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class Response(NamedTuple):
    """`content`: schema by media type; `headers`: names of document.HEADERS."""

    description: str
    content: Mapping[str, Schema] = NOTHING
    headers: tuple[str, ...] = ()


class Body(NamedTuple):
    """A request's body: schema and example by media type."""

    description: str
    content: Mapping[str, Schema]
    examples: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """`refusals`: the statuses that come with problem+json; `examples`: targets of GET requests that answer 200."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter[Any], ...] = ()
    responses: Mapping[int, Response]
    refusals: tuple[int, ...] = ()
    body: Body | None = None
    secured: bool = False
    examples: tuple[str, ...] = ()
    schemas: Mapping[str, Schema] = field(default_factory=dict)  # components that it brings along
    more: Mapping[str, Any] = field(default_factory=dict)  # x-… members
    route_path: str = ""  # where the router has to tell more than the path does

    def route(self, handler: Handler) -> web.RouteDef:
        path = self.route_path or self.path
        return web.get(path, handler) if self.method == "GET" else web.route(self.method, path, handler)


REFUSALS: Mapping[int, str] = {
    HTTPStatus.BAD_REQUEST: "The request is not valid; `errors` names the parameter and what is allowed.",
    HTTPStatus.UNAUTHORIZED: "No valid key.",
    HTTPStatus.FORBIDDEN: "The key does not hold this party.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.CONFLICT: "It contradicts what stands here.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 1 MiB (of a heartbeat or a DELETE 64 KiB), sent or unpacked.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body is readable but not valid; `errors` points at what is wrong.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests from this address.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now: try again after `Retry-After` seconds.",
}
