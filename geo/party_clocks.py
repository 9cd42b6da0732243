"""What time means for each party's statuses, as columns by party index."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo.names import Names

DEFAULT_TTL_S = 900


class PartyClock(msgspec.Struct, frozen=True):
    """`ttl_s` None: the party reports none live; `heartbeat_ms`: its last heartbeat, 0 if never."""

    ttl_s: int | None = DEFAULT_TTL_S
    heartbeat_ms: int = 0


class PartyClocks:
    """`names`, `ttl_ms` (-1: no live status) and `heartbeat_ms` by index; an index never changes its party."""

    def __init__(self) -> None:
        self.names = Names()
        self.ttl_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        self.heartbeat_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        self._clocks: list[PartyClock] = []

    def index(self, party: str) -> int:
        """One not met before gets the default clock."""
        index = self.names.number(party)
        if index == len(self._clocks):
            self._clocks.append(PartyClock())
            self.ttl_ms = np.append(self.ttl_ms, DEFAULT_TTL_S * 1000)
            self.heartbeat_ms = np.append(self.heartbeat_ms, 0)
        return index

    def set(self, index: int, clock: PartyClock) -> bool:
        """Whether that is another clock than before."""
        if clock == self._clocks[index]:
            return False
        self._clocks[index] = clock
        self.ttl_ms[index] = -1 if clock.ttl_s is None else clock.ttl_s * 1000
        self.heartbeat_ms[index] = clock.heartbeat_ms
        return True
