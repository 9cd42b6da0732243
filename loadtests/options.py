"""What can be said of a run, on the command line and in the web page's form. One table; nothing secret is in it: the key of
status producers comes from the environment (LOAD_KEY) of every load generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from loadtests.plan import SHAPES, parse_duration
from loadtests.survey import WORLD

KEY_VARIABLE = "LOAD_KEY"

MIXES = {
    "drivers": "driver sessions on kept connections (S4a)",
    "drivers-fresh": "driver sessions, each on a connection of its own (S4b)",
    "hello": "eight requests for one path on a kept connection: the yardstick of drivers",
    "hello-fresh": "the same, each eight on a connection of their own: the yardstick of drivers-fresh",
    "live": "live subscriptions that stay open, and status updates in batches",
    "roads": "what an app does with roads, on kept connections: drive times, routes, stations along them, road tiles",
}
DEGRADED = {"fault": "an answer without drive times is an error", "counted": "it is only counted"}
CLIENTS = {"lean": "prepared requests on plain sockets", "fast": "Locust's FastHttpUser, to cross-check"}


class OptionError(ValueError):
    """An option has a value that it cannot have; the message names it and what is allowed."""


def _option(default: Any, help: str, *, choices: Mapping[str, str] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


def _words(table: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {what}" for name, what in table.items())


@dataclass(frozen=True)
class Options:
    mix: str = _option("drivers", _words(MIXES), choices=MIXES)
    rate: float = _option(100.0, "sessions a second, at the top of the shape; of the live mix: status updates a second")
    shape: str = _option("steady", _words({name: shape.help for name, shape in SHAPES.items()}),
                         choices={name: shape.help for name, shape in SHAPES.items()})  # fmt: skip
    duration: str = _option("", "such as 90, 5m or 1h30m; empty: the shape's own, "
                            + ", ".join(f"{name} {shape.duration_s:g} s" for name, shape in SHAPES.items()))  # fmt: skip
    warm_up: float = _option(2.0, "seconds of load before anything counts")
    connections: int = _option(
        512, "connections of all load generators together; with fresh connections: how many at a time"
    )
    client: str = _option("lean", _words(CLIENTS), choices=CLIENTS)
    seed: int = _option(1, "of arrivals and places: equal seeds, equal load")
    points: int = _option(20_000, "distinct places that drivers look at")
    bbox: str = _option(WORLD, "west,south,east,north: only stations in there")
    survey_stations: int = _option(100_000, "stations that are asked for at most, to know where they are dense")
    hello_path: str = _option("/", "the path of the hello mixes")
    hello_bytes: int = _option(-1, "the length that hello answers must have; -1: any")
    subscribers: int = _option(200, "live subscriptions of the live mix")
    producers: int = _option(8, "connections on which the live mix reports statuses")
    batch: int = _option(20, "status updates in one request of the live mix")
    road_rate: float = _option(
        1.0,
        "sessions of the roads mix a second beside the live mix, where the target has roads; 0: none",
    )
    degraded: str = _option("fault", "of roads: " + _words(DEGRADED), choices=DEGRADED)
    admin_url: str = _option("", "where the target shows its metrics, such as http://127.0.0.1:8081; empty: nowhere")
    max_p50_ms: float | None = _option(
        None, "threshold: median of all requests; steadier than p99 on a machine that others share"
    )
    max_p99_ms: float | None = _option(None, "threshold: 99th percentile of all requests")
    max_session_p99_ms: float | None = _option(
        None, "threshold: 99th percentile of sessions, from the instant they were due"
    )
    max_errors: float = _option(0.0, "threshold: share of sessions that failed or were never served")
    min_achieved: float = _option(0.98, "threshold: share of the offered rate that was achieved")
    report: str = _option("var/load", "folder for the reports, HTML and JSON; empty: none")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """From parsed arguments or a web form, whose values may be text. Raises OptionError."""
        values = {}
        for option in fields(cls):
            value = given.get(option.name, option.default)
            try:
                values[option.name] = _convert(option.default, str(option.type), value)
            except ValueError:
                raise OptionError(f"{flag(option.name)}: not {value!r}") from None
        options = cls(**values)
        options._check()
        return options

    @property
    def duration_s(self) -> float:
        return parse_duration(self.duration) if self.duration else SHAPES[self.shape].duration_s

    @property
    def fresh(self) -> bool:
        """Whether every session has a connection of its own."""
        return self.mix.endswith("-fresh")

    def _check(self) -> None:
        for name, table in (("mix", MIXES), ("shape", SHAPES), ("client", CLIENTS), ("degraded", DEGRADED)):
            if getattr(self, name) not in table:
                raise OptionError(f"{flag(name)}: one of {', '.join(table)}")
        for name in ("rate", "connections", "points", "survey_stations", "producers"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{flag(name)}: a number above 0")
        if not 1 <= self.batch <= 1000:
            raise OptionError(f"{flag('batch')}: from 1 to 1000")
        if not (self.warm_up >= 0 and self.subscribers >= 0 and self.road_rate >= 0):
            raise OptionError(f"{flag('warm_up')}, {flag('subscribers')}, {flag('road_rate')}: not below 0")
        if self.client == "fast" and self.mix == "live":
            raise OptionError(f"{flag('client')}: FastHttpUser cannot hold live subscriptions")
        try:
            _ = self.duration_s
        except ValueError as error:
            raise OptionError(f"{flag('duration')}: {error}") from None


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _convert(default: Any, kind: str, value: Any) -> Any:
    if value is None or (value == "" and not isinstance(default, str)):
        return default
    if "float" in kind:
        return float(value)
    return type(default)(value)


def add_arguments(parser: Any) -> None:
    """Every option as an argument; `parser` is argparse's, or Locust's."""
    for option in fields(Options):
        kind = float if "float" in str(option.type) else type(option.default)
        choices = option.metadata["choices"]
        parser.add_argument(
            flag(option.name),
            type=kind,
            default=option.default,
            choices=None if choices is None else list(choices),
            help=option.metadata["help"].replace("%", "%%"),
        )
