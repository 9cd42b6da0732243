"""Settings: one table, read from the environment once at start. A setting exists only where two deployments need
different values; everything else is a constant beside the code that it tunes.

`mapsvc settings` prints the table with the values in force, `mapsvc settings --markdown` prints it for the README.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without its closing zero
LONGEST_SOCKET_NAME = "serve-worker-000.sock"


class SettingError(ValueError):
    """A setting has a value that it cannot have; the message names it and what is allowed, never a secret value."""


@dataclass(frozen=True)
class Row:
    """What the table says of one setting besides its name and default."""

    parse: Callable[[str], Any]
    allowed: str
    help: str
    secret: bool = False  # may hold a password: never shown


def _row(default: Any, parse: Callable[[str], Any], allowed: str, help: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"row": Row(parse, allowed, help, secret)})


def _whole(low: int, high: int) -> tuple[Callable[[str], int], str]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return parse, f"a whole number from {low} to {high}"


def _one_of(*words: str) -> tuple[Callable[[str], str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse, "one of " + ", ".join(words)


def _url(*schemes: str) -> tuple[Callable[[str], str], str]:
    def parse(text: str) -> str:
        url = urlsplit(text)
        if url.scheme not in schemes or not url.hostname or url.port == 0 or re.search(r"\s", text):
            raise ValueError
        return text

    return parse, "a URL " + " or ".join(f"{scheme}://…" for scheme in schemes)


def _base_url(text: str) -> str:
    """An http(s) URL that paths are appended to: no query, no fragment, no user, no slash at the end."""
    url = urlsplit(_url("http", "https")[0](text))
    if url.query or url.fragment or url.username is not None:
        raise ValueError
    return urlunsplit((url.scheme, url.netloc, url.path.rstrip("/"), "", ""))


def _page_url(text: str) -> str:
    """An http(s) URL that browsers are told: no user, and a host that may stand in a Content-Security-Policy."""
    url = urlsplit(_url("http", "https")[0](text))
    if not re.fullmatch(r"[0-9A-Za-z.:\[\]-]+", url.netloc):
        raise ValueError
    return text


def _folder(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if "\0" in text or (path.exists() and not path.is_dir()):
        raise ValueError
    return path


def _address(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", text):
        raise ValueError
    return text


BASE_URL = "a URL http://… or https://… without query, fragment and user"


@dataclass(frozen=True)
class Settings:
    """The table. The environment variable is the field's name in capitals."""

    port: int = _row(8080, *_whole(0, 65535), "port of the HTTP API; 0: a free one")
    admin_port: int = _row(8081, *_whole(0, 65535), "loopback port of `/metrics` and `/ops`; 0: a free one")
    listen: str = _row(
        "127.0.0.1", _address, "an address or host name", "address that the HTTP API binds; 0.0.0.0: all"
    )
    workers: int = _row(2, *_whole(1, 64), "API worker processes")
    data_dir: Path = _row(  # noqa: RUF009 (a dataclasses.field)
        Path("var"), _folder, "a folder", "where private engines keep data, and where logs go"
    )
    database_url: str | None = _row(
        None,
        *_url("postgresql", "postgres"),
        "PostgreSQL with PostGIS; unset: `mapsvc up` runs a private one",
        secret=True,
    )
    redis_url: str | None = _row(
        None,
        *_url("redis", "rediss", "redis+cluster"),
        "Redis or Redis Cluster; unset: `mapsvc up` runs a private one",
        secret=True,
    )
    ingest_url: str | None = _row(
        None, _base_url, BASE_URL, "where API workers forward writes to; unset: `mapsvc up` runs ingest on a free port"
    )
    valhalla_url: str | None = _row(
        None, _base_url, BASE_URL, "Valhalla for roads; unset: `mapsvc up` runs one on the graph of `mapsvc roads`"
    )
    map_style_url: str | None = _row(
        None,
        _page_url,
        "a URL http://… or https://… without user",
        "a MapLibre style for the map page's background; unset: land, places and roads of our own, without internet",
    )
    public_url: str | None = _row(
        None, _base_url, BASE_URL, "how clients reach the API, for URLs in its answers; unset: the listening address"
    )
    rate_limit: int = _row(
        500,
        *_whole(0, 1_000_000),
        "requests per second that one address may make of each worker; 0: no limit (a proxy does it, or a load test)",
    )
    connections_per_address: int = _row(
        256,
        *_whole(0, 1_000_000),
        "connections that one address (IPv6: one /64) may hold open to each worker; 0: any number (behind a proxy)",
    )
    demo_stations: int = _row(
        20_000, *_whole(0, 1_000_000), "stations that `mapsvc up` generates into an empty store; 0: none, no simulation"
    )
    log_level: str = _row("info", *_one_of("debug", "info", "warning", "error"), "least level that is logged")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Parse the environment; an empty value counts as unset. Raises SettingError naming all that is wrong."""
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for name, spec in table().items():
            text = env.get(name, "").strip()
            if not text:
                continue
            try:
                values[name.lower()] = spec.parse(text)
            except ValueError:
                shown = name if spec.secret else f"{name}={text[:80]!r}"
                wrong.append(f"{shown}: must be {spec.allowed}")
        if wrong:
            raise SettingError("\n".join(wrong))
        settings = cls(**values)
        return dataclasses.replace(settings, data_dir=settings.data_dir.absolute())

    def to_env(self) -> dict[str, str]:
        """The environment that makes a child read these settings."""
        return {name: "" if (v := getattr(self, name.lower())) is None else str(v) for name in table()}

    def socket(self, name: str) -> Path:
        """The unix socket on which a process of ours answers `GET /metrics` to `mapsvc up`."""
        return run_dir(self.data_dir) / f"{name}.sock"


def table() -> dict[str, Row]:
    """Environment variable → its row, in the order of the table."""
    return {item.name.upper(): item.metadata["row"] for item in dataclasses.fields(Settings)}


def run_dir(data_dir: Path) -> Path:
    """DATA_DIR/run; where that is too long for a socket's path, a folder in the temporary one, named after it."""
    wanted = data_dir.absolute() / "run"
    if len(bytes(wanted / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        return wanted
    return Path(tempfile.gettempdir()) / f"mapsvc-{hashlib.sha256(bytes(wanted)).hexdigest()[:12]}"


def as_text(settings: Settings) -> str:
    """The table with the values in force, for people."""
    lines = []
    for name, spec in table().items():
        value = getattr(settings, name.lower())
        shown = "(unset)" if value is None else "(set, not shown)" if spec.secret else str(value)
        lines.append(f"{name:<14} {shown:<22} {spec.help}")
    return "\n".join(lines)


def as_markdown() -> str:
    """The table for the README; a test compares the two."""
    defaults = {item.name.upper(): item.default for item in dataclasses.fields(Settings)}
    lines = ["| Variable | Default | What | Allowed |", "|---|---|---|---|"]
    for name, spec in table().items():
        default = "" if defaults[name] is None else f"`{defaults[name]}`"
        lines.append(f"| `{name}` | {default} | {spec.help} | {spec.allowed} |")
    return "\n".join(lines)
