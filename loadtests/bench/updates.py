"""Status updates at a steady rate, beside whatever is measured. Each one changes its EVSE's status, so every one must be
applied: sent = applied is asserted, or a service that drops updates would look fast."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import asyncpg
import orjson

from loadtests.bench import snapshot as snapshots
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.service import Service

SQL = (snapshots.SQL / "update_targets.sql").read_text(encoding="utf-8")
TARGETS = 20_000
LANES = 4  # one request at a time each, to EVSEs of their own: an EVSE's updates never overtake one another
BATCH = 50
STATUSES = {1: "AVAILABLE", 3: "CHARGING", 5: "OUTOFORDER", 8: "RESERVED"}  # by geo.station.Status
LAST_S = 60.0


class Targets(NamedTuple):
    key: str
    evses: Sequence[Any]  # rows of update_targets.sql


def targets(service: Service) -> Targets:
    """EVSEs from all over the world, and a key for all their parties."""
    rows = asyncio.run(_fetch(service.database_url))
    parties = sorted({row["party"] for row in rows})
    return Targets(service.command("keys", "create", *parties, "--label", "bench").split()[-1], rows)


async def _fetch(database_url: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(SQL, TARGETS))
    finally:
        await connection.close()


class Lane:
    def __init__(self, evses: Sequence[Any], seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 (a repeatable load, not a secret)
        self._evses = self._rng.sample(list(evses), len(evses))
        self._status = [evse["status"] for evse in self._evses]
        self._before = list(self._status)
        self._at = 0

    def batch(self) -> list[dict[str, str]]:
        """The next EVSEs in turn, each with another status than it has."""
        chosen = [(self._at + k) % len(self._evses) for k in range(min(BATCH, len(self._evses)))]
        self._at += len(chosen)
        for k in chosen:
            self._status[k] = self._rng.choice([status for status in STATUSES if status != self._status[k]])
        return self._told(chosen)

    def restoring(self) -> Iterator[list[dict[str, str]]]:
        """Batches that give every EVSE the status that it had; of those that can be told."""
        moved = [k for k, status in enumerate(self._status) if status != self._before[k] in STATUSES]
        for k in moved:
            self._status[k] = self._before[k]
        yield from (self._told(moved[start : start + BATCH]) for start in range(0, len(moved), BATCH))

    def _told(self, chosen: Sequence[int]) -> list[dict[str, str]]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return [
            {
                "evse_uid": self._evses[k]["uid"],
                "location_id": self._evses[k]["location_id"],
                "status": STATUSES[self._status[k]],
                "source_ts": now,
            }
            for k in chosen
        ]


class Producer:
    """`with Producer(url, found, rate) as producer: …`. Afterwards `applied` and `per_s`; WrongAnswerError if any update was
    not applied. One producer at a time, and each with `targets` read anew: it must know the statuses. `restore`: at the end
    every EVSE has the status that it had."""

    def __init__(self, url: str, found: Targets, rate: float, *, restore: bool = False) -> None:
        self._url = f"{url}/v1/status"
        self._rate = rate / LANES
        self._headers = {"Authorization": f"Bearer {found.key}"}
        self._lanes = [Lane(found.evses[lane::LANES], lane) for lane in range(LANES)]
        self._restore = restore
        self._ending = threading.Event()
        self._outcomes: Counter[str] = Counter()
        self._failure: BaseException | None = None
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(LAST_S)
        self._ended = time.monotonic()
        if self._failure is not None and error is None:
            raise self._failure
        if set(self._outcomes) - {"applied"} and error is None:
            raise WrongAnswerError(f"not all updates were applied: {dict(self._outcomes)}")

    @property
    def applied(self) -> int:
        return self._outcomes["applied"]

    @property
    def per_s(self) -> float:
        return self.applied / (self._ended - self._began)

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:  # told to who waits, in __exit__
            self._failure = error

    async def _all(self) -> None:
        async with aiohttp.ClientSession(headers=self._headers) as session:
            await asyncio.gather(*(self._drive(session, lane) for lane in self._lanes))

    async def _drive(self, session: aiohttp.ClientSession, lane: Lane) -> None:
        sent = 0
        while not self._ending.is_set():
            pause = self._began + sent / self._rate - time.monotonic()
            if pause > 0:
                await asyncio.sleep(min(pause, 0.1))
                continue
            batch = lane.batch()
            await self._post(session, batch)
            sent += len(batch)
        if self._restore:
            for batch in lane.restoring():
                await self._post(session, batch)

    async def _post(self, session: aiohttp.ClientSession, batch: list[dict[str, str]]) -> None:
        async with session.post(self._url, data=orjson.dumps(batch)) as answer:
            body = await answer.read()
        if answer.status != 200:
            raise WrongAnswerError(f"POST /v1/status answered {answer.status}: {body[:200]!r}")
        self._outcomes.update(item["outcome"] for item in orjson.loads(body)["outcomes"])
