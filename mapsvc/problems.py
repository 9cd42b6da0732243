"""Errors on the wire: RFC 9457 problem+json, one small exception tree and one place where it becomes a response.

A 4xx names the parameter (or the JSON pointer) and what is allowed. A 5xx never carries an exception's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

import orjson
from aiohttp import web

CONTENT_TYPE = "application/problem+json"


class Fault(NamedTuple):
    """What is wrong: `where` is a parameter's name or a JSON pointer (it then begins with "/" or is "")."""

    where: str
    allowed: str


class Problem(Exception):
    """An answer that is an error. Subclasses fix the status."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(
        self, detail: str, faults: Sequence[Fault] = (), *, retry_after_s: int | None = None, in_body: bool = False
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults
        self.retry_after_s = retry_after_s
        self.in_body = in_body

    def body(self) -> bytes:
        place = "pointer" if self.in_body else "parameter"
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.faults:
            document["errors"] = [{place: f.where, "allowed": f.allowed} for f in self.faults]
        return orjson.dumps(document)

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers

    def response(self, extra: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(status=int(self.status), body=self.body(), headers={**self.headers(), **(extra or {})})


class Unauthorized(Problem):
    status = HTTPStatus.UNAUTHORIZED

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(Problem):
    status = HTTPStatus.METHOD_NOT_ALLOWED


class Conflict(Problem):
    status = HTTPStatus.CONFLICT


class TooLarge(Problem):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(Problem):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unprocessable(Problem):
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooMany(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS


class Internal(Problem):
    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self) -> None:
        super().__init__("The service failed to answer. It has been noted.")


class Unavailable(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


def of_http_exception(error: web.HTTPException) -> Problem:
    """aiohttp's own refusals (unknown path, wrong method, body too large) in our words."""
    match error.status:
        case 404:
            return NotFound("No such resource. See /docs for what there is.")
        case 405:
            return MethodNotAllowed("This resource does not take this method.")
        case 413:
            return TooLarge(
                "The body is larger than allowed.", [Fault("", "at most 1 MiB, after decompression")], in_body=True
            )
    problem = Problem("The request is not valid.")
    problem.status = HTTPStatus(error.status)
    return problem
