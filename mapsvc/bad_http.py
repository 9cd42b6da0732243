"""What is no HTTP/1.1 that this server speaks, and what is said to it. Promise R6. Nothing of a request is repeated."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage

from mapsvc.problems import Fault, Problem


def refused(message: RawRequestMessage) -> Problem | None:
    """What aiohttp takes and answers in kind (`HTTP/2.0 200 OK`), or fails over (an Expect in no encoding)."""
    if message.version not in (HttpVersion10, HttpVersion11):
        return VersionNotSupported("This server speaks HTTP/1.1.", [Fault("", "HTTP/1.1 or HTTP/1.0")])
    expected = message.headers.get("Expect")
    if expected is not None and expected.lower() != "100-continue":
        return ExpectationFailed("The expectation is not known.", [Fault("Expect", "100-continue")])
    return None


class VersionNotSupported(Problem):
    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


class ExpectationFailed(Problem):
    status = HTTPStatus.EXPECTATION_FAILED


class HeadTooLarge(Problem):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


def not_http(error: BaseException | None) -> Problem:
    """The parser's refusal, without what it repeats of the request."""
    if isinstance(error, LineTooLong):
        return HeadTooLarge(
            "The request's head is too large.", [Fault("", "lines of at most 8190 bytes, at most 128 headers")]
        )
    return Problem("This is no valid HTTP/1.1 request.", [Fault("", "a request as RFC 9112 defines it")])


def wire(problem: Problem) -> bytes:
    """A whole answer that ends the connection, for where there is no request that could be answered."""
    body = problem.body()
    headers = {**problem.headers(), "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {int(problem.status)} {problem.status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
