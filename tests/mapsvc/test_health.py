"""Readiness: what is missing, what is wrong although it answers, and how old the data is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

import mapsvc.health
from cache.replica import Replica
from geo.world import World
from mapsvc.health import SILENT_S, Health
from mapsvc.openapi.document import document
from mapsvc.openapi.reads import PROBES
from tests.geo.worlds import START_MS
from tests.mapsvc.documented import assert_documented

DOCUMENT = document(PROBES, "http://maps.test")


class FakeRedis:
    """Answers, does not, or hangs."""

    def __init__(self) -> None:
        self.url, self.is_cluster = "", False
        self.asked = 0
        self.error: Exception | None = None
        self.hangs = False
        self.when_asked: Callable[[], None] = lambda: None

    async def call(self, *_: Any) -> None:
        self.asked += 1
        if self.hangs:
            self.when_asked()
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error


class Service:
    """A worker whose sixteen shards are loaded and fresh."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.redis = FakeRedis()
        self.replica = Replica("redis://127.0.0.1:1", World(), lambda: self.now_ms)
        self.health = Health(self.replica, lambda: self.now_ms, self.redis)  # type: ignore[arg-type]
        self.runner = asyncio.Runner()
        self.now_ms += 60_000
        for position in self.replica.positions:
            position.n = position.target = 5
            position.stale, position.clock_ms = False, self.now_ms - 300
        self.replica.epoch = 9

    def get(self) -> web.Response:
        return self.runner.run(self.health.readyz(make_mocked_request("GET", "/readyz")))

    def told(self, status: int = 200) -> Any:
        """The answer, which is as the API describes it."""
        response = self.get()
        assert response.status == status
        assert isinstance(response.body, bytes)
        headers = {**response.headers, "Content-Type": "application/json"}
        assert_documented(DOCUMENT, "GET", "/readyz", response.status, headers, response.body)
        return orjson.loads(response.body)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(mapsvc.health, "ASK_EVERY_S", 0.0)
    monkeypatch.setattr(mapsvc.health, "ASK_S", 0.05)
    service = Service()
    yield service
    service.runner.close()


def test_all_well_is_told_without_asking_anybody(service: Service) -> None:
    told = service.told()
    assert (told["ready"], told["missing"], told["degraded"]) == (True, [], [])
    assert (told["data_age_s"], told["data_as_of"], told["epoch"]) == (0.3, "2026-09-21T14:14:19.700Z", 9)
    assert len(told["shards"]) == 16
    assert service.redis.asked == 0


def test_a_fresh_worker_names_what_it_waits_for(service: Service) -> None:
    service.replica = Replica("redis://127.0.0.1:1", World(), lambda: service.now_ms)
    service.health = Health(service.replica, lambda: service.now_ms, service.redis)  # type: ignore[arg-type]
    told = service.told(503)
    assert told["missing"] == ["stations: shards 0-15 are not loaded yet"]
    assert told["degraded"] == ["updates: none heard of, the relay or PostgreSQL is silent"]
    assert (told["data_age_s"], told["data_as_of"], told["epoch"]) == (None, None, -1)
    service.redis.error = ConnectionRefusedError()
    assert "redis: it does not answer" in service.told(503)["missing"]
    assert service.get().headers["Retry-After"] == "1"


def test_the_shards_that_are_not_loaded_are_named(service: Service) -> None:
    for shard in (3, 4, 5, 9):
        service.replica.positions[shard].n = -1
    told = service.told(503)
    assert told["missing"] == ["stations: shards 3-5, 9 are not loaded yet"]
    assert [one["shard"] for one in told["shards"] if not one["loaded"]] == [3, 4, 5, 9]


def test_once_ready_a_worker_stays_ready_and_tells_what_it_reads_again(service: Service) -> None:
    assert service.told()["ready"]
    service.replica.positions[7].stale = True
    service.replica.positions[7].target = 8
    told = service.told()
    assert (told["ready"], told["degraded"]) == (True, ["stations: shard 7 is being read again"])


def test_old_data_is_told_with_its_age_and_the_worst_shard_first(service: Service) -> None:
    service.replica.positions[11].clock_ms -= 41_700
    told = service.told()
    assert told["ready"]
    assert told["degraded"] == ["updates: the relay or PostgreSQL is silent for 42 s (shard 11 is behind)"]
    assert told["data_age_s"] == 42.0
    assert told["shards"][0] == {"shard": 11, "loaded": True, "n": 5, "data_age_s": 42.0}
    assert told["shards"][1]["data_age_s"] == 0.3


@pytest.mark.parametrize(("age_s", "silent"), [(SILENT_S, False), (SILENT_S + 0.001, True)])
def test_silence_is_told_once_a_standby_should_have_taken_over(service: Service, age_s: float, silent: bool) -> None:
    for position in service.replica.positions:
        position.clock_ms = service.now_ms - int(age_s * 1000)
    assert bool(service.told()["degraded"]) is silent


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_redis_away_is_told_from_a_silent_relay(service: Service, how: str) -> None:
    service.redis.error = ConnectionRefusedError() if how == "refuses" else None
    service.redis.hangs = how == "hangs"

    def time_passes() -> None:
        service.now_ms += 190

    service.redis.when_asked = time_passes
    assert service.told()["degraded"] == []  # nothing is old yet
    service.now_ms += 10_000
    told = service.told()
    assert told["ready"]
    assert told["degraded"] == ["redis: it does not answer", "updates: nothing comes from Redis for 10 s"]
    assert told["data_age_s"] == told["shards"][0]["data_age_s"]


def test_redis_is_asked_once_a_second_however_many_probes_come(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapsvc.health, "ASK_EVERY_S", 60.0)
    service.now_ms += 10_000
    service.health._asked_at = -100.0
    for _ in range(5):
        service.told()
    assert service.redis.asked == 1


def test_what_the_database_gave_in_place_of_redis_is_told(service: Service) -> None:
    for shard, position in enumerate(service.replica.positions):
        position.n, position.clock_ms, position.stale = -1, 0, True
        service.replica.adopt(shard, 12, 9)
    service.redis.error = ConnectionRefusedError()
    told = service.told()
    assert (told["ready"], told["data_age_s"]) == (True, None)
    assert told["degraded"] == [
        "redis: it does not answer",
        "redis: shards 0-15 are loaded from PostgreSQL in its stead",
        "updates: none heard of, nothing comes from Redis",
    ]


def test_a_service_that_is_being_stopped_is_not_ready(service: Service) -> None:
    service.health.leave()
    told = service.told(503)
    assert (told["ready"], told["missing"]) == (False, ["service: it is being stopped"])


def test_an_alarm_hears_of_a_worker_that_never_heard_anything(service: Service) -> None:
    assert service.health.silent_s() == 0.3
    service.replica.positions[2].clock_ms = 0
    assert service.health.data_age_s() is None
    assert service.health.silent_s() == 60.0


def test_the_client_ends_with_the_application() -> None:
    async def run() -> None:
        closed = []

        class Closing(FakeRedis):
            async def close(self) -> None:
                closed.append(True)

        replica = Replica("redis://127.0.0.1:1", World())
        turns = Health(replica, replica.now_ms, Closing()).run(web.Application())  # type: ignore[arg-type]
        await anext(turns)
        assert closed == []
        with pytest.raises(StopAsyncIteration):
            await anext(turns)
        assert closed == [True]

    asyncio.run(run())
