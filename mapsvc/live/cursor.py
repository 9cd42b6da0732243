"""How far a subscriber is: the `id:` of its events, good on any worker.

The epoch of the cache, the instant, and for each shard the number `n` up to which every change was told. As text:
`<epoch>.<ms>.<n of shard 0>.….<n of shard 15>`, in hexadecimal, about a hundred characters.
"""

from __future__ import annotations

from typing import NamedTuple

from geo.station import SHARDS

LONGEST = 2 + SHARDS
MAX_TEXT = 17 * LONGEST


class Cursor(NamedTuple):
    epoch: int
    at_ms: int
    ns: tuple[int, ...]

    def text(self) -> str:
        return ".".join(format(part, "x") for part in (self.epoch, self.at_ms, *self.ns))


def parse_cursor(text: str) -> Cursor | None:
    """None for anything that `text()` cannot have made: a browser sends back what it was given, a stranger anything."""
    parts = text.split(".") if len(text) <= MAX_TEXT else []
    if len(parts) != LONGEST or not all(0 < len(part) <= 16 and set(part) <= set("0123456789abcdef") for part in parts):
        return None
    epoch, at_ms, *ns = (int(part, 16) for part in parts)
    if max(ns) >= 1 << 63:
        return None
    return Cursor(epoch, at_ms, tuple(ns))
