"""What a target holds, learnt from the target itself, so that a load fits any host: its stations, and the ETags that an app
would have from its last visit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gevent

from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.places import Found
from loadtests.session import describe

PAGE = 1000
WORLD = "-180,-85,180,85"
ASKING_AT_ONCE = 8
T = TypeVar("T")
_NEXT = re.compile(rb'<([^>]*)>; *rel="?next"?')


class SurveyError(Exception):
    """The target cannot be surveyed; the message says why."""


def get(connection: Connection, target: Target, path: str) -> Any:
    """The JSON at a path. Raises SurveyError."""
    try:
        status = connection.ask(target.request(path, encoding="identity"))
    except (HttpError, OSError) as error:
        raise SurveyError(f"{path}: {describe(error)}") from None
    if status != 200:
        raise SurveyError(f"{path} answered {status}: {connection.body()[:200].decode(errors='replace')}")
    return json_of(connection)


def json_of(connection: Connection) -> Any:
    """The body of the last answer. Raises SurveyError."""
    try:
        return json.loads(connection.body())
    except ValueError:
        raise SurveyError("the target's answer is no JSON") from None


def stations(target: Target, bbox: str, most: int, query: str = "") -> list[Found]:
    """Page by page, until there are no more or enough. Raises SurveyError."""
    connection = Connection(target)
    found: list[Found] = []
    path: str | None = f"/v1/stations?bbox={bbox}&limit={PAGE}&fields=id,lat,lon{query}"
    try:
        while path is not None and len(found) < most:
            told = get(connection, target, path)
            try:
                found += [Found(one["id"], float(one["lat"]), float(one["lon"])) for one in told["stations"]]
            except (LookupError, TypeError, ValueError):
                raise SurveyError(f"{path} tells no stations with id, lat and lon") from None
            link = _NEXT.search(connection.field(b"link"))
            # Only where it leads to: the target may call itself something else than we do.
            path = None if link is None else _path(link[1].decode()).removeprefix(target.prefix)
    finally:
        connection.close()
    return found[:most]


def etags(target: Target, paths: Iterable[str]) -> dict[str, str]:
    """The ETag of each path, empty where there is none. Raises SurveyError."""
    found: dict[str, str] = {}

    def ask(connection: Connection, path: str) -> None:
        try:
            status = connection.ask(target.head(path, "HEAD") + b"\r\n", body=False)
        except (HttpError, OSError) as error:
            raise SurveyError(f"HEAD {path}: {describe(error)}") from None
        if status != 200:
            raise SurveyError(f"HEAD {path} answered {status}")
        found[path] = connection.field(b"etag").decode("ascii", "replace")

    for_each(target, paths, ask)
    return found


def for_each(target: Target, things: Iterable[T], ask: Callable[[Connection, T], None]) -> None:
    """Asks about each, several side by side. Raises the SurveyError of the first that fails."""
    left = iter(things)

    def some() -> None:
        connection = Connection(target)
        try:
            for thing in left:
                ask(connection, thing)
        finally:
            connection.close()

    together([some] * ASKING_AT_ONCE)


def together(tasks: list[Callable[[], None]]) -> None:
    """Runs them side by side. Raises the SurveyError of the first that fails, and ends the others."""
    failed: list[SurveyError] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except SurveyError as error:
            failed.append(error)
            gevent.killall([one for one in running if one is not gevent.getcurrent()], block=False)

    running = [gevent.spawn(run, task) for task in tasks]
    gevent.joinall(running)
    if failed:
        raise failed[0]


def _path(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="").geturl()
