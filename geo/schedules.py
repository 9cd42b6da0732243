"""Opening hours of all stations at one glance: interned schedules, each with its state and its next turn.

A million stations share a few hundred schedules, so time has to be watched per schedule, not per station.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo.columns import NEVER_MS
from geo.hours import OpenState, Schedule, compile_schedule
from geo.record import ALWAYS_OPEN, HOURS_UNKNOWN
from geo.station import Hours

_DECODER = msgspec.msgpack.Decoder(tuple[str | None, Hours])


class Schedules:
    """Schedule 0 is "unknown", 1 is "always open"; `state[i]` is schedule i's OpenState as of the last `advance`."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {HOURS_UNKNOWN: 0, ALWAYS_OPEN: 1}
        self._schedules: list[Schedule | None] = [None, None]
        self.state: NDArray[np.uint8] = np.zeros(64, np.uint8)
        self._next: NDArray[np.int64] = np.full(64, NEVER_MS, np.int64)
        self.state[0], self.state[1] = OpenState.UNKNOWN, OpenState.OPEN
        self.next_ms: int = NEVER_MS

    def intern(self, encoded: bytes, now_ms: int) -> int:
        """The number of this schedule (geo.record.schedule_of). Raises msgspec.DecodeError on foreign bytes."""
        found = self._ids.get(encoded)
        if found is not None:
            return found
        zone, hours = _DECODER.decode(encoded)
        index = self._ids[encoded] = len(self._schedules)
        self._schedules.append(compile_schedule(hours, zone))
        if index >= len(self.state):
            self.state = np.concatenate((self.state, np.zeros_like(self.state)))
            self._next = np.concatenate((self._next, np.full_like(self._next, NEVER_MS)))
        self._turn(index, now_ms)
        self.next_ms = min(self.next_ms, int(self._next[index]))
        return index

    def advance(self, now_ms: int) -> list[int]:
        """The schedules whose state has changed by `now_ms`."""
        if now_ms < self.next_ms:
            return []
        turned = []
        for index in np.flatnonzero(self._next <= now_ms).tolist():
            before = int(self.state[index])
            self._turn(index, now_ms)
            if self.state[index] != before:
                turned.append(index)
        self.next_ms = int(self._next.min())
        return turned

    def _turn(self, index: int, now_ms: int) -> None:
        schedule = self._schedules[index]
        if schedule is None:
            self.state[index], self._next[index] = OpenState.UNKNOWN, NEVER_MS
            return
        self.state[index] = schedule.state_at(now_ms)
        turn = schedule.next_after(now_ms)
        self._next[index] = NEVER_MS if turn is None else turn
