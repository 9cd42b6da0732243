"""Locust itself, as a person runs it: exit codes, Locust's own statistics, several load generators, the web page.

Locust patches Python's standard library, so it never runs in the process of the tests. A run is seconds of mostly waiting, so
some tests run side by side (`ahead`).
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp.test_utils import TestServer, unused_port

from tests.loadtests.fake_api import KEY, FakeApi

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 8
CONNECTIONS = 12
SMALL = (
    *("--rate", "40", "--duration", "2", "--warm-up", "0.5", "--connections", str(CONNECTIONS), "--points", "200"),
    *("--min-achieved", "0.5"),  # two seconds are short, and the tests' machine may be busy
)
MEDIAN_MS = (
    5.0  # a request to the fake takes less than one; a tile that takes 5 ms longer takes more, whatever else happens
)
AT_ONCE = 3

pytestmark = pytest.mark.asyncio(loop_scope="module")

Body = Callable[[Path], Awaitable[None]]
_bodies: list[Body] = []  # as they stand in this file
_begun: dict[str, tuple[asyncio.Task[None], list[str]]] = {}
_said: ContextVar[list[str]] = ContextVar("_said")  # what Locust printed, of the test that had it printed


def ahead(body: Body) -> Callable[..., Awaitable[None]]:
    """The test begins while those before it still run; what it finds is told in its turn. It gets a folder of its own."""
    _bodies.append(body)

    async def test(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        asked_for = {item.name for item in request.session.items if item.path == request.path}
        first = _bodies.index(body)
        for one in _bodies[first : first + AT_ONCE]:
            name = getattr(one, "__name__", "")
            if name in asked_for and name not in _begun:
                said: list[str] = []
                _said.set(said)
                _begun[name] = asyncio.create_task(_alone(one, tmp_path_factory.mktemp("run"))), said
        task, said = _begun[request.node.name]
        try:
            await task
        finally:
            print(*said, sep="\n")

    test.__doc__ = body.__doc__
    return test


async def _alone(body: Body, folder: Path) -> None:
    await body(folder)


class Ended(NamedTuple):
    code: int
    output: str


@asynccontextmanager
async def serving(api: FakeApi) -> AsyncIterator[str]:
    server = TestServer(api.application())
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


@asynccontextmanager
async def locust(*arguments: str, key: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {name: value for name, value in os.environ.items() if name != "LOAD_KEY"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--only-summary", *arguments),
        cwd=ROOT,
        env=environment | ({"LOAD_KEY": key} if key else {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    _said.get().append(output.decode())
    assert process.returncode is not None
    return Ended(process.returncode, output.decode())


async def run(url: str, *arguments: str, key: str = "") -> Ended:
    async with locust("--headless", "--host", url, *SMALL, *arguments, key=key) as process:
        return await ended(process)


def left_in(folder: Path) -> tuple[dict[str, Any], Path]:
    """The results of the run, and its report."""
    (data,), (page,) = folder.glob("*.json"), folder.glob("*.html")
    return json.loads(data.read_text()), page


def told_by_locust(prefix: Path) -> dict[str, dict[str, str]]:
    """Locust's own table of requests, by name."""
    with Path(f"{prefix}_stats.csv").open() as lines:
        return {row["Name"]: row for row in csv.DictReader(lines)}


@ahead
async def test_a_target_that_is_fast_enough_passes_and_is_reported(tmp_path: Path) -> None:
    api = FakeApi()
    async with serving(api) as url:
        done = await run(
            url, "--max-p50-ms", str(MEDIAN_MS), "--admin-url", url, "--report", str(tmp_path), "--csv", str(tmp_path / "own")
        )  # fmt: skip
    assert done.code == 0
    assert done.output.rstrip().endswith("load: passed")
    told, page = left_in(tmp_path)
    assert f"load: report: {page}" in done.output
    assert "Passed" in page.read_text()

    sessions, rows = told["sessions"], {row["name"]: row for row in told["rows"]}
    assert sessions["completed"] == sessions["offered"] > 40
    assert rows["session"]["count"] == sessions["offered"]
    assert rows["tilejson"]["not_modified"] == rows["tilejson"]["count"]
    assert rows["tile conditional"]["not_modified"] == rows["tile conditional"]["count"]
    assert rows["tile"]["not_modified"] == 0
    # Sessions under way when the warm-up ends have some of their tiles in it, and all have their station, which comes last.
    assert 0 <= 3 * rows["station"]["count"] - rows["tile"]["count"] <= 3 * CONNECTIONS
    nearby = [rows[name]["count"] for name in ("nearby", "nearby connector+power", "nearby available")]
    assert max(nearby) - min(nearby) <= 3
    assert told["server"]["cores"]["serve"][1] > 0
    assert told["server"]["lag_ms"][0] == 10.0
    assert api.asked["GET tiles"] > 6 * sessions["offered"]  # what is reported was really asked

    own = told_by_locust(tmp_path / "own")
    assert int(own["session"]["Request Count"]) == sessions["offered"]
    assert int(own["Aggregated"]["Request Count"]) == sum(rows[name]["count"] for name in rows if name != "session")


@ahead
async def test_one_handler_that_is_five_milliseconds_slower_fails_it(_: Path) -> None:
    async with serving(FakeApi(slow_tile_s=0.005)) as url:
        done = await run(url, "--max-p50-ms", str(MEDIAN_MS), "--report", "")
    assert done.code == 1
    assert f"load: --max-p50-ms {MEDIAN_MS:g}: FAILED" in done.output
    assert "load: --max-errors 0: holds" in done.output


@ahead
async def test_answers_that_are_wrong_fail_it(_: Path) -> None:
    async with serving(FakeApi(failing=frozenset({"GET nearby"}))) as url:
        done = await run(url, "--report", "")
    assert done.code == 1
    assert "nearby: answered 500" in done.output
    assert "load: --max-errors 0: FAILED" in done.output


@ahead
async def test_several_load_generators_do_what_one_does(tmp_path: Path) -> None:
    """A master and two workers: the same plan, one verdict, the master's exit code."""
    port, api = str(unused_port()), FakeApi(slow_tile_s=0.005)
    master = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2")
    worker = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    own = tmp_path / "own"
    async with (
        serving(api) as url,
        locust(*worker) as one,
        locust(*worker) as other,
        locust("--headless", "--host", url, *SMALL, *master, "--report", str(tmp_path), "--max-p50-ms", str(MEDIAN_MS),
               "--csv", str(own)) as directing,
    ):  # fmt: skip
        done, first, second = await asyncio.gather(*map(ended, (directing, one, other)))
    assert (done.code, first.code, second.code) == (1, 0, 0)
    assert f"load: --max-p50-ms {MEDIAN_MS:g}: FAILED" in done.output
    told, _ = left_in(tmp_path)
    assert told["load_generators"] == 2
    assert told["sessions"]["completed"] == told["sessions"]["offered"] > 40
    assert int(told_by_locust(own)["session"]["Request Count"]) == told["sessions"]["offered"]


@ahead
async def test_locusts_own_client_sees_the_same(tmp_path: Path) -> None:
    async with serving(FakeApi()) as url:
        done = await run(
            url, "--client", "fast", "--report", "", "--csv", str(tmp_path / "own"), "--min-achieved", "0.5"
        )
    assert done.code == 0
    rows = told_by_locust(tmp_path / "own")
    sessions, requests = int(rows["session"]["Request Count"]), int(rows["Aggregated"]["Request Count"])
    assert f"; {sessions} served, 0 failed, 0 never served" in done.output
    assert requests >= REQUESTS * sessions  # Locust also counts those of the warm-up


@ahead
async def test_fresh_connections_are_fresh(_: Path) -> None:
    api = FakeApi()
    async with serving(api) as url:
        done = await run(url, "--mix", "hello-fresh", "--hello-bytes", "12", "--report", "")
    assert done.code == 0
    assert len(api.connections) > 0.9 * api.asked["GET /"] / REQUESTS
    assert len(api.connections) < 0.2 * api.asked["GET /"]


ROADS = ("nearby by drive time", "route", "along a route", "reachable", "road tile")


@ahead
async def test_road_sessions_ask_for_ways_and_areas(tmp_path: Path) -> None:
    api = FakeApi(roads=True)
    async with serving(api) as url:
        done = await run(url, "--mix", "roads", "--report", str(tmp_path))
    assert done.code == 0
    told, page = left_in(tmp_path)
    rows = {row["name"]: row for row in told["rows"]}
    assert rows.keys() == {"session", *ROADS}
    assert told["sessions"]["completed"] == told["sessions"]["offered"] > 40
    assert 0 < rows["reachable"]["count"] < 0.25 * rows["route"]["count"]
    # Sessions under way when the warm-up ends have some of their requests in it.
    assert 0 <= rows["road tile"]["count"] - 2 * rows["nearby by drive time"]["count"] <= 2 * CONNECTIONS
    assert "Routes and drive times" in page.read_text()


@ahead
async def test_degraded_answers_fail_a_run_that_does_not_allow_them(tmp_path: Path) -> None:
    # Each run has its own server: of two that share one, neither need get every fourth answer.
    one, another = (FakeApi(roads=True, degraded_every=4) for _ in range(2))
    async with serving(one) as url, serving(another) as other:
        done, allowed = await asyncio.gather(
            run(url, "--mix", "roads", "--report", ""),
            run(other, "--mix", "roads", "--degraded", "counted", "--report", str(tmp_path)),
        )
    assert done.code == 1
    assert "nearby by drive time: a degraded answer" in done.output
    assert allowed.code == 0
    told, _ = left_in(tmp_path)
    asked = next(row["count"] for row in told["rows"] if row["name"] == "nearby by drive time")
    assert told["counts"]["degraded: nearby by drive time"] == pytest.approx(asked / 4, rel=0.2)


@ahead
async def test_locusts_own_client_sends_bodies_too(tmp_path: Path) -> None:
    api = FakeApi(roads=True)
    async with serving(api) as url:
        done = await run(url, "--mix", "roads", "--client", "fast", "--report", "", "--csv", str(tmp_path / "own"))
    assert done.code == 0
    rows = told_by_locust(tmp_path / "own")
    assert rows.keys() >= {"session", *ROADS}
    assert {rows[name]["Type"] for name in ("route", "along a route")} == {"POST"}


@ahead
async def test_the_live_mix_drives_where_there_are_roads(tmp_path: Path) -> None:
    """At its own rate; what thresholds are of is as it was without roads."""
    live = ("--mix", "live", "--subscribers", "4", "--producers", "2", "--batch", "2", "--report", str(tmp_path))
    own = tmp_path / "own"
    async with serving(FakeApi(roads=True, slow_tile_s=0.05)) as url:
        done = await run(url, *live, "--road-rate", "10", "--csv", str(own), key=KEY)
    assert done.code == 0
    told, _ = left_in(tmp_path)
    rows = {row["name"]: row for row in told["rows"]}
    assert rows.keys() >= {"road session", "batch", "status", *ROADS}
    assert 8 <= rows["road session"]["count"] <= 36  # 20 by a Poisson process
    assert rows["road tile"]["p50_ms"] > 50
    assert told["requests"]["p99_ms"] == rows["status"]["p99_ms"]
    assert int(told_by_locust(own)["Aggregated"]["Request Count"]) == rows["status"]["count"]
    assert told["sessions"]["offered"] == rows["batch"]["count"]


@ahead
async def test_a_drive_that_fails_fails_the_live_mix(_: Path) -> None:
    live = ("--mix", "live", "--subscribers", "4", "--producers", "2", "--batch", "2", "--report", "")
    async with serving(FakeApi(roads=True, failing=frozenset({"GET reachable"}))) as url:
        done, without = await asyncio.gather(
            run(url, *live, "--road-rate", "60", key=KEY), run(url, *live, "--road-rate", "0", key=KEY)
        )
    assert (done.code, without.code) == (1, 0)
    assert "road session: a request of it failed" in done.output
    assert "road session" not in without.output


@ahead
async def test_subscribers_are_told_what_producers_report(_: Path) -> None:
    async with serving(FakeApi()) as url:
        done = await run(
            url, "--mix", "live", "--subscribers", "6", "--producers", "2", "--batch", "2", "--report", "", key=KEY
        )
    assert done.code == 0
    for row in ("batch", "status", "live snapshot", "live event"):
        assert f"load: {row} " in done.output
    assert "updates applied" not in done.output  # that is the report's


@ahead
async def test_a_run_that_cannot_be_made_says_why(_: Path) -> None:
    async with serving(FakeApi(stations=0)) as url:
        empty = await run(url)
        keyless = await run(url, "--mix", "live")
        roadless = await run(url, "--mix", "roads")
    assert (empty.code, keyless.code, roadless.code) == (2, 2, 2)
    assert "the target has no stations to look at" in empty.output
    assert "put a key of the target into LOAD_KEY" in keyless.output
    assert "the target has no roads" in roadless.output


@ahead
async def test_the_web_page_starts_runs_and_shows_the_report(tmp_path: Path) -> None:
    web, form = f"http://127.0.0.1:{(port := unused_port())}", {"rate": "30", "duration": "2", "connections": "8"}
    form |= {"max_p99_ms": "5000", "max_session_p99_ms": "5000", "min_achieved": "0.5"}  # a busy machine is no fault
    arguments = ("--web-host", "127.0.0.1", "--web-port", str(port), "--report", str(tmp_path))
    async with serving(FakeApi()) as url, locust(*arguments) as process, aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            page = await _when(session, web)
            assert '"max_p99_ms"' in page
            assert '"drivers-fresh"' in page
            async with session.get(f"{web}/load-report") as answer:
                assert answer.status == 404
            async with session.post(
                f"{web}/swarm", data=form | {"host": url, "points": "100", "warm_up": "0"}
            ) as answer:
                assert (await answer.json())["success"]
            told = await _when(session, f"{web}/stats/requests", lambda text: '"state": "stopped"' in text)
            report = await _when(session, f"{web}/load-report", lambda text: "</html>" in text)
        assert "Passed" in report
        assert {row["name"] for row in json.loads(told)["stats"]} >= {"session", "tile", "station", "Aggregated"}
        process.terminate()
        assert (await ended(process)).code == 0


async def _when(session: aiohttp.ClientSession, url: str, ready: Callable[[str], bool] = bool) -> str:
    """What is there as soon as it is as wanted."""
    while True:
        try:
            async with session.get(url) as answer:
                text = await answer.text()
                if ready(text):
                    return text
        except aiohttp.ClientConnectionError:
            pass  # it is still starting
        await asyncio.sleep(0.1)
