"""A session: requests one after the other on one connection, every answer looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from loadtests.checks import plain
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.recorder import PARSED_EVERY, Row

JSON = "application/json"

_clock = time.perf_counter


class Step:
    """One prepared request, by the method of its row; `body`: JSON. `etag`: that of the representation last seen, sent along;
    empty: the request is not conditional. Steps that many sessions share remember what the last of them saw, as an app's
    cache does."""

    __slots__ = ("_head", "body", "etag", "path", "request", "revalidates", "row")

    def __init__(
        self, target: Target, path: str, row: Row, *, body: bytes = b"", revalidates: bool = False, etag: bytes = b""
    ) -> None:
        self.path, self.row, self.body, self.revalidates = path, row, body, revalidates
        fields = {"Content_Type": JSON, "Content_Length": str(len(body))} if body else {}
        self._head = target.head(path, row.method, **fields)
        self.see(etag)

    def see(self, etag: bytes) -> None:
        self.etag = etag
        self.request = self._head + (b"If-None-Match: " + etag + b"\r\n\r\n" if etag else b"\r\n") + self.body


Script = Sequence[Step]


class Answer(Protocol):
    """What a client tells of an answer with a body."""

    def body(self) -> bytes: ...
    def field(self, name: bytes) -> bytes: ...


def run_session(connection: Connection, script: Script) -> bool:
    """Whether all answers were as they should be. One that is not does not end the session, a connection that breaks does."""
    whole = True
    for step in script:
        row, sent, began = step.row, step.etag, _clock()
        try:
            status = connection.ask(step.request)
        except (HttpError, OSError) as error:
            row.times.append(_clock() - began)
            row.fail(describe(error))
            return False
        row.times.append(_clock() - began)
        fault = judge(step, sent, status, connection.length, connection)
        if fault:
            row.fail(fault)
            whole = False
    return whole


def judge(step: Step, sent: bytes, status: int, length: int, answer: Answer) -> str:
    """What is wrong with an answer: its status, its length, what its row looks for, and for one in a hundred what is in it;
    empty: nothing. `sent`: the ETag that went with the request; by now another session may have seen a newer one."""
    row = step.row
    if status == 304 and sent:
        row.not_modified += 1
        return ""
    if status != 200:
        return f"answered {status}"
    row.bytes += length
    row.answers += 1
    if not row.least <= length <= row.most:
        return f"a body of {length} bytes" if row.least == row.most else "a body that is too short"
    if step.revalidates:
        etag = answer.field(b"etag")
        if etag and etag == sent:
            return "answered 200 to the ETag that it has"
        step.see(etag)
    check = row.check if row.answers % PARSED_EVERY == 0 else None
    if check is not None or row.look is not None:
        try:
            body = plain(answer.body(), answer.field(b"content-encoding"))
            if row.look is not None:
                row.look(body, step.path)
            if check is not None:
                check(body, step.path)
        except ValueError as error:
            return str(error)
    return ""


def describe(error: Exception) -> str:
    """A failure in words that are the same for the same fault."""
    if isinstance(error, HttpError):
        return str(error)
    return f"{type(error).__name__}: {error.strerror or error}" if isinstance(error, OSError) else type(error).__name__
