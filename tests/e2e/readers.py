"""Clients that read all the time while something is broken, and note every answer that was not a good one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp

from geo.tilemath import pixels
from tests.e2e.stack import Point, Stack

PAUSE_S = 0.01


class Readers:
    """`async with Readers(stack) as readers`: at the end every answer must have been 200."""

    def __init__(self, stack: Stack, readers: int = 3, *, evses: Sequence[Point] = (), seed: int = 1) -> None:
        """`evses`: whose stations are asked for; all of them by default."""
        self.answers: Counter[str] = Counter()
        self.bad: list[str] = []
        self._stack = stack
        self._readers = readers
        self._evses = evses or stack.evses
        self._seed = seed
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read(random.Random(self._seed + k))) for k in range(self._readers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None:
            assert self.bad == []
            assert self.answers["200"] > 20 * self._readers, self.answers

    async def _read(self, draw: random.Random) -> None:
        while True:
            evse = draw.choice(self._evses)
            at = pixels([48.8], [2.2 + draw.random() / 10], 13)
            path = draw.choice(
                (
                    f"/v1/stations/{evse.station_id}",
                    f"/v1/nearby?lat=48.8&lon={2.2 + draw.random() / 10:.4f}",
                    f"/v1/tiles/stations/13/{int(at.x[0])}/{int(at.y[0])}.mvt",
                    "/v1/tiles/stations/5/16/11.mvt",
                    "/v1/stations?bbox=2,48,3,49",
                    "/readyz",
                )
            )
            try:
                answer = await self._stack.get(path)
                told = str(answer.status)
            except (aiohttp.ClientError, OSError) as error:
                told = type(error).__name__
            self.answers[told] += 1
            if told != "200":
                self.bad.append(f"{told} {path}")
            await asyncio.sleep(PAUSE_S)
