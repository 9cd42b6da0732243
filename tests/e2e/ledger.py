"""What writers were told, to be held against what the database has afterwards. Promise R1's measure."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import asyncpg

from geo.station import Status
from tests.e2e.stack import Point, Stack

STATUSES = ("AVAILABLE", "CHARGING", "BLOCKED", "OUTOFORDER", "RESERVED", "INOPERATIVE")
ROWS_AT_MOST = 10
PAUSE_S = 0.005  # between two posts of one writer: this is about loss, not about load


class Entry(NamedTuple):
    """One acknowledged row, as status_history holds it."""

    num: int
    slot: int
    status: int
    k1: int


class Ledger:
    """Writers that post random updates and note what was acknowledged."""

    def __init__(self, stack: Stack, evses: Sequence[Point], *, seed: int, url: str = "") -> None:
        self.applied: list[Entry] = []
        self.answers: Counter[str] = Counter()  # by status of HTTP, or the error's name
        self._stack = stack
        self._evses = evses
        self._url = url or stack.url
        self._seed = seed
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, writers: int = 4) -> None:
        self._tasks = [asyncio.create_task(self._write(random.Random(f"{self._seed}-{k}"))) for k in range(writers)]

    async def stop(self) -> None:
        """Writers end between two posts: an answer that nobody heard would be no acknowledgement."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_for(self, rows: int, within_s: float) -> None:
        """Until so many more rows are acknowledged."""
        goal = len(self.applied) + rows
        async with asyncio.timeout(within_s):
            while len(self.applied) < goal:
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def missing(self) -> list[Entry]:
        """Acknowledged as applied, and not in the history: must be empty."""
        connection = await asyncpg.connect(self._stack.database_url)
        try:
            rows = await connection.fetch("SELECT num, slot, status, k1 FROM status_history")
        finally:
            await connection.close()
        there = {Entry(*row) for row in rows}
        return [entry for entry in self.applied if entry not in there]

    async def _write(self, draw: random.Random) -> None:
        while True:
            chosen = draw.sample(self._evses, draw.randint(1, min(ROWS_AT_MOST, len(self._evses))))
            stamps = [self._stack.now_ms() for _ in chosen]
            statuses = [draw.choice(STATUSES) for _ in chosen]
            updates = [
                self._stack.update(evse, status, ms) for evse, status, ms in zip(chosen, statuses, stamps, strict=True)
            ]
            try:
                async with self._stack.session.post(
                    f"{self._url}/v1/status", json=updates, headers=self._stack.auth
                ) as response:
                    self.answers[str(response.status)] += 1
                    if response.status == 503:
                        assert int(response.headers["Retry-After"]) >= 1
                        await asyncio.sleep(0.05)
                        continue
                    assert response.status == 200, await response.text()
                    outcomes = (await response.json())["outcomes"]
            except (aiohttp.ClientError, OSError) as error:
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(0.05)
                continue
            for evse, status, ms, told in zip(chosen, statuses, stamps, outcomes, strict=True):
                assert told["outcome"] in ("applied", "confirmed", "late"), told
                if told["outcome"] == "applied":
                    self.applied.append(Entry(evse.num, evse.slot, Status[status], ms))
            await asyncio.sleep(PAUSE_S)
