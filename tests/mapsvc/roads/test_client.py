"""One door to Valhalla: deadlines, bounds, one more try, and what is said when there is no answer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from mapsvc.deadline import Deadline
from mapsvc.roads import client as clients
from mapsvc.roads.client import (
    BUSY,
    DEADLINE,
    FAILURES,
    NO_ROADS,
    REQUESTS,
    RUNNING,
    UNREACHABLE,
    WAITING,
    RefusedError,
    RoadsAwayError,
    RoadsClient,
)
from mapsvc.roads.graphs import Served, note_served
from mapsvc.settings import run_dir
from tests.mapsvc.roads.fake_valhalla import FakeValhalla, asking

HERE = {"lat": 48.1234567, "lon": 7.7654321}
MATRIX = {"sources": [HERE], "targets": [HERE]}


async def reason_of(client: RoadsClient, within_s: float = 0.3) -> str:
    with pytest.raises(RoadsAwayError) as failure:
        await client.ask("sources_to_targets", MATRIX, Deadline.after(within_s))
    return failure.value.reason


async def test_an_answer_is_decoded() -> None:
    async with asking(FakeValhalla()) as client:
        told = await client.ask("sources_to_targets", MATRIX, Deadline.after(1))
    assert told["sources_to_targets"]["durations"] == [[0]]


async def test_without_a_graph_there_is_nobody_to_ask(tmp_path: Path) -> None:
    client = RoadsClient(tmp_path, None)
    assert await reason_of(client) == NO_ROADS


async def test_a_silent_engine_costs_the_deadline_and_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SILENCE_S", 0.05)
    fake, loop = FakeValhalla(), asyncio.get_running_loop()
    fake.fails = "silent"
    async with asking(fake) as client:
        for _ in range(FAILURES):
            began = loop.time()
            assert await reason_of(client, 0.1) == DEADLINE
            assert loop.time() - began < 0.25
        assert await reason_of(client, 0.1) == DEADLINE  # the first that tries whether it answers again
        began, asked = loop.time(), fake.asked.total()
        for _ in range(20):
            assert await reason_of(client, 5.0) == UNREACHABLE
        assert loop.time() - began < 0.2
        assert fake.asked.total() == asked


async def test_an_engine_that_answers_again_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PROBE_S", 0.05)
    monkeypatch.setattr(clients, "SILENCE_S", 0.02)
    fake = FakeValhalla()
    fake.fails = "silent"
    async with asking(fake) as client:
        for _ in range(FAILURES + 1):
            await reason_of(client, 0.05)
        fake.fails = ""
        await asyncio.sleep(0.06)
        for _ in range(10):
            await client.ask("sources_to_targets", MATRIX, Deadline.after(1))


async def test_a_closed_connection_is_tried_once_more() -> None:
    fake = FakeValhalla()
    fake.fails = "closes once"
    async with asking(fake) as client:
        await client.ask("sources_to_targets", MATRIX, Deadline.after(1))
        assert fake.asked["sources_to_targets"] == 2
        fake.fails = "closes"
        assert await reason_of(client) == UNREACHABLE
        assert fake.asked["sources_to_targets"] == 4


@pytest.mark.parametrize("fails", ["nonsense", "500"])
async def test_what_is_no_answer_is_none(fails: str) -> None:
    fake = FakeValhalla()
    fake.fails = fails
    async with asking(fake) as client:
        assert await reason_of(client) == UNREACHABLE


async def test_a_refusal_has_the_code() -> None:
    fake = FakeValhalla()
    fake.fails = "171"
    async with asking(fake) as client:
        with pytest.raises(RefusedError) as failure:
            await client.ask("route", {"locations": []}, Deadline.after(1))
    assert failure.value.code == 171


async def test_few_are_with_the_engine_and_not_many_wait() -> None:
    fake = FakeValhalla()
    fake.slow_s = 0.05
    told = Counter[str]()
    async with asking(fake, lambda reason: told.update([reason])) as client:
        calls = [client.ask("sources_to_targets", MATRIX, Deadline.after(5)) for _ in range(RUNNING + WAITING + 10)]
        done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in done if isinstance(one, RoadsAwayError)]
    assert fake.most_at_once == RUNNING
    assert {one.reason for one in refused} == {BUSY}
    assert len(refused) == 10
    assert told == {BUSY: len(refused)}


async def test_one_request_too_many_is_told_so_before_anything_is_done() -> None:
    fake, told = FakeValhalla(), Counter[str]()
    async with asking(fake, lambda reason: told.update([reason])) as client:
        with ExitStack() as under_way:
            for _ in range(REQUESTS):
                under_way.enter_context(client.one_graph())
            for _ in range(2):
                with pytest.raises(RoadsAwayError) as failure, client.one_graph():
                    pass
                assert failure.value.reason == BUSY
        with client.one_graph():  # they have gone
            pass
    assert told == {BUSY: 2}
    assert not fake.asked


async def test_who_waits_for_a_turn_waits_until_the_deadline_only() -> None:
    fake, loop = FakeValhalla(), asyncio.get_running_loop()
    fake.slow_s = 0.5
    async with asking(fake) as client:
        busy = [asyncio.ensure_future(client.ask("status", {}, Deadline.after(5))) for _ in range(RUNNING)]
        await asyncio.sleep(0.05)
        began = loop.time()
        assert await reason_of(client, 0.1) == BUSY
        assert loop.time() - began < 0.3
        await asyncio.gather(*busy)


async def test_the_note_of_the_keeper_is_followed(tmp_path: Path) -> None:
    run_dir(tmp_path).mkdir(parents=True)
    client = RoadsClient(tmp_path, None)
    assert client.served() is None
    one, two = (Served(f"http://127.0.0.1:{port}", str(port), (0.0, 0.0, 1.0, 1.0)) for port in (1, 2))
    for expected in (one, two, None):
        note_served(tmp_path, expected)
        await asyncio.sleep(clients.LOOK_S + 0.02)
        assert client.served() == expected


async def test_positions_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeValhalla()
    with caplog.at_level(logging.DEBUG):
        async with asking(fake) as client:
            for fails in ("", "nonsense", "500", "171", "closes", "silent"):
                fake.fails = fails
                for _ in range(2):
                    try:
                        await client.ask("route", {"locations": [HERE, HERE]}, Deadline.after(0.05))
                    except Exception as error:
                        logging.getLogger("test").warning("failed", exc_info=error)
    text = caplog.text + "".join(str(record.args) for record in caplog.records)
    assert "48.12" not in text and "7.76" not in text


async def test_who_waits_behind_long_work_does_not_take_the_engine_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SILENCE_S", 0.05)
    fake = FakeValhalla()
    async with asking(fake) as client:
        fake.slow_s = 0.1
        long = [asyncio.ensure_future(client.ask("locate", {"locations": []}, Deadline.after(5))) for _ in range(28)]
        await asyncio.sleep(0)
        reasons = [await reason_of(client, 0.08) for _ in range(2 * FAILURES)]
        assert set(reasons) == {BUSY}
        await asyncio.gather(*long)
        await client.ask("sources_to_targets", MATRIX, Deadline.after(1))


async def test_failures_of_long_ago_say_nothing_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SILENCE_S", 0.02)
    monkeypatch.setattr(clients, "FORGET_S", 0.1)
    fake = FakeValhalla()
    fake.fails = "silent"
    async with asking(fake) as client:
        for _ in range(FAILURES + 1):
            await reason_of(client, 0.03)
        fake.fails = ""
        await asyncio.sleep(0.12)
        done = await asyncio.gather(*(client.ask("status", {}, Deadline.after(1)) for _ in range(10)))
        assert len(done) == 10


async def test_an_engine_that_is_given_and_turns_to_another_graph_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FOLLOW_S", 0.05)
    fake = FakeValhalla()
    async with asking(fake) as client:
        seen = set()
        for modified in (7, 8):
            fake.modified = modified
            await asyncio.sleep(0.15)
            served = client.served()
            assert served is not None
            seen.add(served.graph)
    assert len(seen) == 2


async def test_somebody_between_us_who_refuses_says_nothing_of_roads() -> None:
    fake = FakeValhalla()
    fake.fails = "429"
    async with asking(fake) as client:
        assert await reason_of(client) == UNREACHABLE
