"""The grammar of Redis keys. Everything of a shard carries the hash tag `{sNN}`, so one script may touch all of it.

The layout's version is in every key: a program with another layout finds nothing, and builds its own.
`epoch` numbers a whole build of the cache; it is kept in PostgreSQL, and `mapsvc:control` points to the current one.
"""

from __future__ import annotations

from dataclasses import dataclass

LAYOUT = 3
CELL_RES = 4
"""H3 resolution of the cells that hashes are named by. At 5 a million stations made 600,000 hashes of 3 stations each."""

CONTROL = "mapsvc:control"
"""Hash: epoch, parties (JSON of {party: {ttl_s, heartbeat_ms}}), building (the epoch that a rebuild last wrote)."""


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """All keys of one shard in one epoch."""

    shard: int
    epoch: int

    @property
    def _prefix(self) -> str:
        return f"{{s{self.shard:02d}}}:v{LAYOUT}:{self.epoch}"

    @property
    def head(self) -> str:
        """Hash `n`, `clock_ms`: the last number applied here, and the database's clock when the relay last said so.
        `void`: the database had gone back (a restored backup) when this epoch began: numbers of earlier epochs mean
        nothing in it, though they may be higher. `mark`: of the relay that carries it, another one whenever it began anew
        (cache/lua/claim.lua)."""
        return f"{self._prefix}:head"

    @property
    def log(self) -> str:
        """Stream, one entry a batch."""
        return f"{self._prefix}:log"

    @property
    def cells(self) -> str:
        """Set of the H3 cells (hex, CELL_RES) that ever held a station in this epoch."""
        return f"{self._prefix}:cells"

    @property
    def places(self) -> str:
        """Hash num -> cell: where a station's fields are, so that a move finds the old ones."""
        return f"{self._prefix}:places"

    def stations(self, cell: str) -> str:
        """Hash num -> static record."""
        return f"{self._prefix}:st:{cell}"

    def evses(self, cell: str) -> str:
        """Hash num.slot -> 40-byte state."""
        return f"{self._prefix}:ev:{cell}"

    @property
    def pattern(self) -> str:
        """Glob of every key of this shard and epoch."""
        return f"{self._prefix}:*"


def seen_key(shard: int) -> str:
    """The lossy side stream of confirmations and clock beats; it outlives epochs."""
    return f"{{s{shard:02d}}}:v{LAYOUT}:seen"
