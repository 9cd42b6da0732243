"""Source time mapped onto now: `first_ms` of the recording is this instant, and from there it runs `speed` times as fast.

The map never goes back (R2 would call such a stamp late), and a step is played no earlier than its mapped instant, so
that no stamp lies ahead of the database's clock, which refuses those more than two minutes ahead.
"""

from __future__ import annotations

import math
import time

TTL_S = 900
"""How long a status of the source lives unconfirmed, in source time: the service's default for a live party."""

MIN_TTL_S = 5
"""Of real time. TTL / speed would be 1.5 s at 600x, but a heartbeat needs up to 1.6 s to reach every replica (the
relay's beat each second, the replicas' look at it each half), and a busy machine some more."""


class SourceClock:
    def __init__(self, first_ms: int, speed: float, database_ms: int) -> None:
        """`database_ms`: what the database's clock says now, for it is the one that judges stamps."""
        self._first_ms = first_ms
        self._speed = speed
        self._start_ms = database_ms
        self._offset_ms = database_ms - time.monotonic_ns() // 1_000_000

    def mapped_ms(self, source_ms: int) -> int:
        return self._start_ms + math.floor((source_ms - self._first_ms) / self._speed)

    def wait_s(self, source_ms: int) -> float:
        """Until then; negative: that instant is over."""
        return (self.mapped_ms(source_ms) - self._offset_ms) / 1000 - time.monotonic()


def played_ttl_s(speed: float) -> int:
    """The TTL while a recording is played: the source's divided by the speed, in the whole seconds that a party has."""
    return max(MIN_TTL_S, math.ceil(TTL_S / speed))
