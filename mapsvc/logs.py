"""Structured logging: one JSON object per line on stderr: time, level, logger, message, and the fields of the call.

    log = logging.getLogger(__name__)
    log.info("batch committed", extra={"shard": 3, "rows": 120})
    late = Sampled(log)
    late.warning(party, "late update", party=party)      # at most one line a second per key, with what was left out

Promise R10: neither keys nor positions reach a log. Callers leave them out; this module, through which every line
goes, blanks what still looks like one: fields by name, and `key=`/`lat=`-like pairs and URL passwords inside text.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

SAMPLE_INTERVAL_S = 1.0
SAMPLED_KEYS = 1_000  # keys may come from clients: remember this many, forget the oldest
VALUE_CHARS = 500  # a field or message longer than this is cut: a log line is not a place for a body

HIDDEN = "…"
_SECRET_FIELDS = frozenset(
    {"authorization", "api_key", "password", "token", "secret", "cookie", "lat", "lon", "latitude", "longitude"}
    | {"position", "point", "coordinates", "bbox", "origin", "destination"}
)
_IN_TEXT = (
    (re.compile(r"(://[^/\s:@]*:)[^@/\s]+@"), rf"\1{HIDDEN}@"),  # postgresql://user:password@host
    (re.compile(r"(?i)\b((?:bearer|token)\s+)[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)\b(lat|lon|lng|latitude|longitude|bbox|api_key|password|token)(['\"]?\s*[=:]\s*['\"]?)[-+\w.,%]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup(level: str = "info", role: str = "", stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to `stream` (stderr), as JSON lines that name the role."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # It logs the very bytes of a request that it cannot parse: somebody's position or key. What fails in a handler of
    # ours is logged where it fails.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class JsonLines(logging.Formatter):
    def __init__(self, role: str = "") -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
        }
        if self._role:
            line["role"] = self._role
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = HIDDEN if name.lower() in _SECRET_FIELDS else _plain(value)
        if record.exc_info:
            line["exception"] = scrub(self.formatException(record.exc_info), VALUE_CHARS * 20)
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode()


def scrub(text: str, limit: int = VALUE_CHARS) -> str:
    """Text without what looks like a password, a key or a position, cut to `limit` characters."""
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text if len(text) <= limit else text[:limit] + HIDDEN


def _plain(value: object) -> Any:
    """A value that JSON can carry; text scrubbed, everything else by its own rendering."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return scrub(str(value))


class Sampled:
    """Log lines that could come by the thousand: at most one per key and second, telling how many were left out."""

    def __init__(
        self,
        logger: logging.Logger,
        interval_s: float = SAMPLE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._clock = clock
        self._keys: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()  # key → (last line, left out since)

    def warning(self, key: Hashable, message: str, **fields: object) -> None:
        self.log(logging.WARNING, key, message, **fields)

    def info(self, key: Hashable, message: str, **fields: object) -> None:
        self.log(logging.INFO, key, message, **fields)

    def log(self, level: int, key: Hashable, message: str, **fields: object) -> None:
        if not self._logger.isEnabledFor(level):
            return
        now = self._clock()
        last, left_out = self._keys.get(key, (float("-inf"), 0))
        if now - last < self._interval_s:
            self._keys[key] = (last, left_out + 1)
            return
        self._keys[key] = (now, 0)
        self._keys.move_to_end(key)
        if len(self._keys) > SAMPLED_KEYS:
            self._keys.popitem(last=False)
        self._logger.log(level, message, extra=fields | ({"suppressed": left_out} if left_out else {}))
