"""Locust's users: each is one connection, which serves the arrivals of its load generator's plan."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, ClassVar

import gevent.event
from locust import FastHttpUser, User, task

from loadtests.generator import Generator
from loadtests.http1 import HttpError
from loadtests.lean import PATIENCE_S, Connection
from loadtests.session import JSON, Script, Step, judge, run_session


class LoadUser(User):
    """`generator` and `scripts` are those of this process's present run."""

    abstract = True
    generator: ClassVar[Generator]
    scripts: ClassVar[list[Script]]
    connection: Connection | None = None

    @task
    def live(self) -> None:
        self.serve()
        gevent.event.Event().wait()  # until Locust ends all users at once

    def on_stop(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def connect(self, patience_s: float = PATIENCE_S) -> Connection:
        """The user's own; it is opened when it is needed."""
        self.connection = Connection(self.generator.target, patience_s)
        return self.connection

    def serve(self) -> None:
        raise NotImplementedError


class LeanUser(LoadUser):
    """Sessions through the lean client."""

    def serve(self) -> None:
        generator, scripts = self.generator, self.scripts
        connection, fresh = self.connect(), generator.options.fresh
        if not fresh:
            with suppress(HttpError, OSError):  # the first session will meet it, and tell
                connection.open()
        generator.wait_for_start()

        def session(number: int) -> bool:
            well = run_session(connection, scripts[number % len(scripts)])
            if fresh:
                connection.close()
            generator.recorder.reconnects += connection.reconnects
            connection.reconnects = 0
            return well

        generator.serve(session)


class FastUser(FastHttpUser, LoadUser):
    """The same sessions through Locust's own client and an event for every request, to cross-check."""

    abstract = False
    network_timeout = connection_timeout = PATIENCE_S
    max_redirects = 0
    insecure = False

    def serve(self) -> None:
        generator, scripts = self.generator, self.scripts
        fresh, pool = generator.options.fresh, self.client.client.clientpool
        generator.wait_for_start()

        def session(number: int) -> bool:
            if fresh:
                pool.close()
            faults = [step for step in scripts[number % len(scripts)] if not self._ask(step)]
            return not faults

        generator.serve(session)

    def _ask(self, step: Step) -> bool:
        headers = {"Accept-Encoding": "gzip"} | ({"Content-Type": JSON} if step.body else {})
        sent = step.etag
        if sent:
            headers["If-None-Match"] = sent.decode()
        began = time.perf_counter()
        row = step.row
        with self.client.request(
            row.method, step.path, data=step.body.decode() or None, name=row.name, headers=headers, catch_response=True
        ) as response:
            row.times.append(time.perf_counter() - began)
            if response.status_code == 0:
                fault = f"{type(response.error).__name__}: {response.error}"
            else:
                fault = judge(step, sent, response.status_code, _length(response), _Decoded(response))
            if fault:
                row.fail(fault)
                response.failure(fault)
            else:
                response.success()
        return not fault


class _Decoded:
    """An answer of FastHttpUser's client, which undoes encodings itself."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def body(self) -> bytes:
        return bytes(self._response.content)

    def field(self, name: bytes) -> bytes:
        value = "" if name == b"content-encoding" else self._response.headers.get(name.decode(), "")
        return str(value).encode()


def _length(response: Any) -> int:
    """Of the body as it came."""
    return int(response.headers.get("content-length", -1))
