"""Liveness and readiness. Alive touches no dependency; ready says what is missing and how old the data is.

A worker that answers from old data is ready: that is degraded, and told. Data that is young proves that everything behind
it works; only when it grows old is Redis asked, so that its absence is told from the relay's or PostgreSQL's silence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from cache.client import UNREACHABLE, Cache, RedisError
from cache.keys import CONTROL
from cache.replica import Replica, ShardPosition
from mapsvc.instants import instant

SILENT_S = 5.0  # the relay says every second how far it is; a standby has taken over within this (promise R4)
ASK_S = 0.5  # that Redis has to answer a probe
ASK_EVERY_S = 1.0  # however many probes come


class Health:
    """`cache`: a client of its own, for it must neither wait behind the replica's reads nor hold them up."""

    def __init__(self, replica: Replica, now_ms: Callable[[], int], cache: Cache) -> None:
        self._replica = replica
        self._now_ms = now_ms
        self._cache = cache
        self._leaving = False
        self._began_ms = now_ms()
        self._asking = asyncio.Lock()
        self._asked_at = -ASK_EVERY_S
        self._redis_answers = True

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    def leave(self) -> None:
        """The whole service goes: load balancers shall send nobody here any more. (A worker that is merely replaced stays
        ready to the last: a balancer that asked it would take the machine for gone.)"""
        self._leaving = True

    def data_age_s(self) -> float | None:
        """Seconds since the database said that nothing newer was there, of the shard that lags most; None: not known."""
        return self._age_s(self._replica.data_clock_ms)

    def silent_s(self) -> float:
        """The age of the data, or of this worker if it never heard anything: what an alarm looks at."""
        age_s = self.data_age_s()
        return max(0, self._now_ms() - self._began_ms) / 1000 if age_s is None else age_s

    def _is_silent(self) -> bool:
        age_s = self.data_age_s()
        return age_s is None or age_s > SILENT_S

    def _age_s(self, clock_ms: int) -> float | None:
        return None if clock_ms == 0 else max(0, self._now_ms() - clock_ms) / 1000

    # -- the probes ---------------------------------------------------------------------------------------------------

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(
            body=b'{"status":"alive"}', headers={"Content-Type": "application/json", "Cache-Control": "no-store"}
        )

    async def readyz(self, _: web.Request) -> web.Response:
        body = await self.readiness()
        return web.Response(
            status=200 if body["ready"] else 503,
            body=orjson.dumps(body),
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"}
            | ({} if body["ready"] else {"Retry-After": "1"}),
        )

    async def readiness(self) -> dict[str, Any]:
        redis_away = (not self._replica.ready or self._is_silent()) and not await self._does_redis_answer()
        # From here on everything is told as of one instant.
        positions = self._replica.positions
        not_loaded = [] if self._replica.ready else _where(positions, lambda p: p.n < p.target)
        from_database = _where(positions, _stands_in)
        rereading = _where(positions, lambda p: p.stale and p.n >= 0 and not _stands_in(p))
        age_s = self.data_age_s()

        missing = [f"stations: {_shards(not_loaded)} not loaded yet"] if not_loaded else []
        if self._leaving:
            missing.append("service: it is being stopped")
        degraded: list[str] = []
        if redis_away:
            (missing if not_loaded else degraded).append("redis: it does not answer")
        if from_database:
            degraded.append(f"redis: {_shards(from_database)} loaded from PostgreSQL in its stead")
        if self._is_silent():
            degraded.append(_silence(age_s, [self._age_s(p.clock_ms) for p in positions], redis_away))
        if rereading:
            degraded.append(f"stations: {_shards(rereading)} being read again")
        return {
            "ready": not missing,
            "missing": missing,
            "degraded": degraded,
            "data_as_of": instant(self._replica.data_clock_ms or None),
            "data_age_s": None if age_s is None else round(age_s, 3),
            "shards": [
                {"shard": shard, "loaded": p.n >= p.target, "n": p.n, "data_age_s": _rounded(self._age_s(p.clock_ms))}
                for shard, p in self._oldest_first(positions)
            ],
            "epoch": self._replica.epoch,
            "stations": self._replica.world.station_count,
        }

    def _oldest_first(self, positions: Sequence[ShardPosition]) -> list[tuple[int, ShardPosition]]:
        return sorted(enumerate(positions), key=lambda one: (one[1].clock_ms, one[0]))

    async def _does_redis_answer(self) -> bool:
        """As of a second ago at most."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= ASK_EVERY_S:
                try:
                    async with asyncio.timeout(ASK_S):
                        await self._cache.call("HGET", CONTROL, "epoch")
                    self._redis_answers = True
                except (RedisError, *UNREACHABLE):
                    self._redis_answers = False
                self._asked_at = time.monotonic()
        return self._redis_answers

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application."""
        yield
        await self._cache.close()


def _stands_in(position: ShardPosition) -> bool:
    """It has what Redis never gave: the relay's clock came with no beat yet (Replica.adopt)."""
    return position.stale and position.n >= 0 and position.clock_ms == 0


def _where(positions: Sequence[ShardPosition], holds: Callable[[ShardPosition], bool]) -> list[int]:
    return [shard for shard, position in enumerate(positions) if holds(position)]


def _shards(some: Sequence[int]) -> str:
    """ "shard 3 is", "shards 0-4, 9 are"."""
    runs: list[list[int]] = []
    for shard in some:
        if runs and runs[-1][1] == shard - 1:
            runs[-1][1] = shard
        else:
            runs.append([shard, shard])
    told = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"shard {told} is" if len(some) == 1 else f"shards {told} are"


def _silence(age_s: float | None, ages_s: Sequence[float | None], redis_away: bool) -> str:
    who = "nothing comes from Redis" if redis_away else "the relay or PostgreSQL is silent"
    if age_s is None:
        return f"updates: none heard of, {who}"
    old = [shard for shard, age in enumerate(ages_s) if age is None or age > SILENT_S]
    which = "" if len(old) == len(ages_s) else f" ({_shards(old)} behind)"
    return f"updates: {who} for {age_s:.0f} s{which}"


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)
