"""One absolute deadline for a request: computed once, passed down to everything that waits."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Deadline(NamedTuple):
    """`at` on the event loop's clock, seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(asyncio.get_running_loop().time() + seconds)

    def left_s(self) -> float:
        """May be negative."""
        return self.at - asyncio.get_running_loop().time()

    def timeout(self) -> asyncio.Timeout:
        """`async with deadline.timeout()` raises TimeoutError when it has passed."""
        return asyncio.timeout_at(self.at)
