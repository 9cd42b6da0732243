"""Liveness and readiness. Alive touches no dependency; ready says what is missing and how old the data is."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from aiohttp import web

from cache.replica import Replica

STALE_S = 10.0  # data older than this is named; the worker goes on answering


class Health:
    def __init__(self, replica: Replica, now_ms: Callable[[], int]) -> None:
        self._replica = replica
        self._now_ms = now_ms

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    def data_age_s(self) -> float | None:
        """Seconds since the database said that nothing newer was there; None: not known."""
        clock_ms = self._replica.data_clock_ms
        return None if clock_ms == 0 else max(0.0, (self._now_ms() - clock_ms) / 1000)

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(
            body=b'{"status":"alive"}', headers={"Content-Type": "application/json", "Cache-Control": "no-store"}
        )

    async def readyz(self, _: web.Request) -> web.Response:
        replica, age = self._replica, self.data_age_s()
        missing = [] if replica.ready else ["stations: not loaded yet"]
        degraded = []
        if age is None or age > STALE_S:
            degraded.append(
                "updates: none heard of" if age is None else "updates: the relay, Redis or PostgreSQL is silent"
            )
        body = {
            "ready": replica.ready,
            "missing": missing,
            "degraded": degraded,
            "data_age_s": None if age is None else round(age, 3),
            "epoch": replica.epoch,
            "stations": replica.world.station_count,
        }
        return web.Response(
            status=200 if replica.ready else 503,
            body=orjson.dumps(body),
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"}
            | ({} if replica.ready else {"Retry-After": "1"}),
        )
