"""The document against the running service: examples, what it says of writes, and the commands of docs/api.md. R6."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from geo.station import Connector, Evse, Located, Station
from mapsvc.openapi.reads import SOME_STATION
from mapsvc.openapi.writes import NDJSON, PUT_STATION, STATUS_UPDATES
from mapsvc.roads.valhalla_files import is_installed
from tests.e2e.stack import PARTY, ROOT, Stack, eventually
from tests.mapsvc.documented import Json, assert_documented, path_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEMO_PARTY, _, DEMO_LOCATION = SOME_STATION.partition("~")
MARKET = f"/v1/stations/{PARTY}~MARKET"
VISIBLE_S = 10.0

assert PUT_STATION.body and STATUS_UPDATES.body
LOCATION: dict[str, Any] = PUT_STATION.body.examples["application/json"]
UPDATES: list[dict[str, Any]] = STATUS_UPDATES.body.examples["application/json"]


class Asked:
    """Requests to the real service; every answer must be as its own document says."""

    def __init__(self, stack: Stack, document: Json) -> None:
        self.stack = stack
        self.document = document

    async def __call__(self, method: str, target: str, status: int, body: Any = None, **headers: str) -> Json:
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        told = {**self.stack.auth, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.stack.session.request(method, self.stack.url + target, data=data, headers=told) as answer:
            read = await answer.read()
            assert answer.status == status, read[:500]
            path = path_of(self.document, target)
            return assert_documented(self.document, method, path, status, answer.headers, read)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ask(shared_stack: Stack) -> Asked:
    """The service with the station that the examples are about, as the generated world has it."""
    plug = Connector("1", "IEC_62196_T2_COMBO", "CABLE", "DC", power_kw=150.0)
    station = Station(
        party=DEMO_PARTY, location_id=DEMO_LOCATION, lat=48.667, lon=6.893, last_updated_ms=1_700_000_000_000,
        evses=(Evse("0000000-1", evse_id="DE*ABC*E1234*5", connectors=(plug,)),), name="Example", source="generate",
    )  # fmt: skip
    await shared_stack.fill(0, party=DEMO_PARTY)
    await shared_stack.put([Located(station)])

    async def is_there() -> bool:
        return (await shared_stack.get(f"/v1/stations/{SOME_STATION}")).status == 200

    await eventually(is_there, VISIBLE_S)
    return Asked(shared_stack, await shared_stack.json("/openapi.json"))


async def test_every_example_of_a_read_answers_200(ask: Asked) -> None:
    for methods in ask.document["paths"].values():
        if not is_installed() and "Roads" in str(methods):
            continue
        if "text/event-stream" not in str(methods.get("get", {}).get("responses")):
            for target in methods.get("get", {}).get("x-examples", ()):
                await ask("GET", target, 200)
    assert ask.document["servers"][0]["url"] == ask.stack.url


async def test_the_examples_of_bodies_work_as_they_stand(ask: Asked) -> None:
    written = await ask("PUT", MARKET, 201, LOCATION)
    assert written == {"id": f"{PARTY}~MARKET", "outcome": "new", "statuses_in_future": 0}
    assert (await ask("PUT", MARKET, 200, LOCATION))["outcome"] == "unchanged"
    told = await ask("POST", "/v1/status", 200, UPDATES)
    assert [one["outcome"] for one in told["outcomes"]] == ["applied", "unknown_evse"]
    lines = b"\n".join(map(orjson.dumps, UPDATES))
    told = await ask("POST", "/v1/status", 200, lines, Content_Type=NDJSON)
    assert [one["outcome"] for one in told["outcomes"]] == ["confirmed", "unknown_evse"]
    assert PARTY in (await ask("POST", "/v1/heartbeat", 200))["parties"]

    async def is_found() -> bool:
        found = await ask("GET", "/v1/stations?evse_id=frtst-e11", 200)
        return [one["id"] for one in found["stations"]] == [f"{PARTY}~MARKET"]

    await eventually(is_found, VISIBLE_S)
    await ask("DELETE", MARKET, 204)

    async def is_gone() -> bool:
        return not (await ask("GET", "/v1/stations?evse_id=frtst-e11", 200))["stations"]

    await eventually(is_gone, VISIBLE_S)
    await ask("DELETE", MARKET, 404)


async def test_every_outcome_is_a_documented_one(ask: Asked) -> None:
    evse = ask.stack.evses[0]
    old, now = ask.stack.clock_ms() - 60_000, ask.stack.clock_ms()
    rows: list[Any] = [
        ask.stack.update(evse, "CHARGING", now), ask.stack.update(evse, "CHARGING", now + 1),
        ask.stack.update(evse, "AVAILABLE", old), ask.stack.update(evse, "AVAILABLE", now + 3_600_000),
        ask.stack.update(evse._replace(uid="nobody"), "AVAILABLE"), {"evse_uid": 1}, 7,
    ]  # fmt: skip
    told = [(await ask("POST", "/v1/status", 200, [row]))["outcomes"][0]["outcome"] for row in rows]
    assert told == ["applied", "confirmed", "late", "future", "unknown_evse", "malformed", "malformed"]


async def test_an_answer_that_is_replayed_is_documented(ask: Asked) -> None:
    for _ in range(2):
        await ask("POST", "/v1/status", 200, [], Idempotency_Key="documented")
    await ask("POST", "/v1/status", 409, [1], Idempotency_Key="documented")
    await ask("POST", "/v1/status", 400, [], Idempotency_Key="x" * 256)


WRONG: list[tuple[str, str, int, Any]] = [
    ("POST", "/v1/status", 400, b"{"), ("POST", "/v1/status", 400, b""), ("POST", "/v1/status?x=1", 400, []),
    ("POST", "/v1/status", 422, [{}] * 1001), ("POST", "/v1/status", 413, b"[" + b" " * (1 << 20) + b"]"),
    ("POST", "/v1/heartbeat?x=1", 400, None), ("PUT", MARKET, 400, b"{"), ("PUT", MARKET, 422, {"id": "MARKET"}),
    ("PUT", MARKET, 422, [LOCATION]), ("PUT", f"/v1/stations/{PARTY}~OTHER", 422, LOCATION),
    ("PUT", "/v1/stations/XX*YYY~1", 403, LOCATION), ("PUT", "/v1/stations/nobody", 404, LOCATION),
    ("PUT", MARKET, 413, b" " * ((1 << 20) + 1)), ("DELETE", f"/v1/stations/{PARTY}~NONE", 404, None),
    ("DELETE", "/v1/stations/XX*YYY~1", 403, None), ("DELETE", f"{MARKET}?x=1", 400, None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "status", "body"), WRONG)
async def test_refusals_of_writes_are_documented(ask: Asked, method: str, target: str, status: int, body: Any) -> None:
    problem = await ask(method, target, status, body)
    assert problem["status"] == status


async def test_without_a_key_every_write_is_a_documented_401(ask: Asked) -> None:
    asked = 0
    for path, methods in ask.document["paths"].items():
        for method, operation in methods.items():
            if operation.get("security"):
                await ask(method.upper(), path.replace("{id}", f"{PARTY}~1"), 401, Authorization="Bearer nobody")
                asked += 1
            else:
                assert method == "get" or operation["tags"] == ["Roads"]
    assert asked == 4


def commands() -> list[str]:
    """The blocks of docs/api.md marked as sh: each is one script."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/api.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not is_installed(), reason="needs Valhalla (make setup)")
async def test_every_command_of_the_guide_works(ask: Asked, tmp_path: Path) -> None:
    environment = {**ask.stack.environment("command"), "HOME": str(tmp_path)}
    told = []
    for script in commands():
        here = script.replace("http://127.0.0.1:8080", ask.stack.url).replace(".venv/bin/python", sys.executable)
        here = here.replace("curl ", "curl --fail-with-body --silent --show-error ")
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-euo", "pipefail", "-c", here], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout[-500:]}\n{done.stderr[-500:]}"
        told.append(done.stdout)
    whole = "".join(told)
    for expected in ("distance_m", "FeatureCollection", SOME_STATION, "304\n", "vector_layers", '"outcome":"applied"'):
        assert expected in whole
    assert (tmp_path / "tile.mvt").exists()
    assert orjson.loads((tmp_path / "page.json").read_bytes())["stations"]
