"""The database's clock, known here without asking each time: the one clock on which "future" and TTLs are judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from sql import queries

EVERY_S = 5.0
BELIEVED_S = 0.1  # an answer that took longer may be off by half of it: better keep the offset that we have


class DatabaseClock:
    """Our monotonic clock plus the offset last measured; good to a few milliseconds."""

    def __init__(self) -> None:
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._measured = False

    def now_ms(self) -> int:
        return int(time.monotonic() * 1000 + self._offset_ms)

    async def measure(self, pool: Any) -> None:
        before = time.monotonic()
        theirs: int = await pool.fetchval(queries.CLOCK_MS)
        after = time.monotonic()
        if after - before <= BELIEVED_S or not self._measured:
            self._offset_ms = theirs - (before + after) / 2 * 1000
            self._measured = True

    async def follow(self, pool: Any) -> None:
        """For ever; a database that does not answer leaves the offset as it was."""
        while True:
            with contextlib.suppress(Exception):  # whatever it is, ingest will meet and report it
                await self.measure(pool)
            await asyncio.sleep(EVERY_S)
