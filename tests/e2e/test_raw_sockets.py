"""Promise R6 below HTTP: every case of the corpus against the real service. No 5xx, no hang, an answer that says what is
wrong, nothing stored, and whoever comes next is served as ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from mapsvc.connections import HEAD_S, SWEEP_S
from tests.e2e.raw import BadAnswerError, Closed, Raw, RawAnswer
from tests.e2e.raw_corpus import CORPUS, SLOW, SLOW_S, UPDATE, UPDATE_BYTES, WRITE, Case
from tests.e2e.stack import TORTURE, Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 20 if TORTURE else 1
ANSWER_S = SLOW_S + 5.0  # this machine may be shared
GOES_ON = b"GET /healthz HTTP/1.1\r\nHost: @HOST@\r\n\r\n"
STORED = """SELECT (SELECT sum(n) FROM shard), (SELECT count(*) FROM status_history), (SELECT count(*) FROM outbox),
    (SELECT count(*) FROM station), (SELECT count(*) FROM evse), (SELECT count(*) FROM idempotency),
    (SELECT max(seen_ms) FROM evse), (SELECT array_agg(status ORDER BY num, slot) FROM evse)"""


class Outcome(NamedTuple):
    answers: list[RawAnswer]
    trouble: str  # "": all as the case says
    after_s: float


class Run(NamedTuple):
    outcomes: dict[str, Outcome]
    stored_before: asyncpg.Record
    stored_after: asyncpg.Record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(shared_stack: Stack) -> Run:
    """All cases at once, as the world sends them."""
    stack = shared_stack
    before = await stored(stack)
    found: dict[str, Outcome] = {}
    for _ in range(ROUNDS):
        told = await asyncio.gather(*(outcome(stack, case) for case in CORPUS))
        for case, result in zip(CORPUS, told, strict=True):
            if case.name not in found or result.trouble:
                found[case.name] = result
    return Run(found, before, await stored(stack))


async def stored(stack: Stack) -> asyncpg.Record:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return (await connection.fetch(STORED))[0]
    finally:
        await connection.close()


async def outcome(stack: Stack, case: Case) -> Outcome:
    answers: list[RawAnswer] = []
    began = time.monotonic()
    trouble = ""
    try:
        async with Raw(stack.url, ANSWER_S) as raw:
            saying = asyncio.create_task(say(raw, stack, case))
            try:
                while len(answers) < len(case.answers):
                    answers.append(await raw.answer(case.methods[min(len(answers), len(case.methods) - 1)]))
                trouble = await ending(raw, case, answers, began, saying)
            finally:
                saying.cancel()
    except (Closed, BadAnswerError, TimeoutError) as error:
        trouble = f"{type(error).__name__} after {len(answers)} answers: {error}"
    return Outcome(answers, trouble, time.monotonic() - began)


async def say(raw: Raw, stack: Stack, case: Case) -> None:
    for piece in case.pieces:
        await raw.send(filled(piece, raw, stack))
        await asyncio.sleep(case.pause_s)


def filled(piece: bytes, raw: Raw, stack: Stack) -> bytes:
    known = {b"@HOST@": raw.host.encode(), b"@KEY@": stack.key.encode(), b"@UPDATE@": UPDATE}
    write = _filled(WRITE, known)
    return _filled(piece, known | {b"@SMUGGLED@": write, b"@SMUGGLED_BYTES@": str(len(write)).encode()})


def _filled(text: bytes, known: dict[bytes, bytes]) -> bytes:
    for name, value in known.items():
        text = text.replace(name, value)
    return text


async def ending(raw: Raw, case: Case, answers: list[RawAnswer], began: float, saying: asyncio.Task[None]) -> str:
    """What is wrong with how the connection goes on."""
    if case.end == "open" or (case.end == "either" and answers and not answers[-1].closes):
        await saying
        await raw.send(GOES_ON.replace(b"@HOST@", raw.host.encode()))
        try:
            answer = await raw.answer()
        except Closed:
            return "" if case.end == "either" else "closed instead of going on"
        return "" if answer.status == 200 else f"afterwards: {answer.status}"
    if case.end == "broken":
        with contextlib.suppress(Closed):
            return "" if (await raw.answer()).status == 400 else "something else than 400"
        return ""
    await raw.closed(ANSWER_S)
    lasted = time.monotonic() - began
    if case.end == "cut" and not HEAD_S - SWEEP_S <= lasted <= ANSWER_S:
        return f"cut after {lasted:.1f} s"
    return ""


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
async def test_what_is_no_good_http_is_answered_in_bounded_time(case: Case, run: Run) -> None:
    answers, trouble, after_s = run.outcomes[case.name]
    told = [answer.status for answer in answers]
    assert not trouble, (trouble, told)
    for status, allowed in zip(told, case.answers, strict=True):
        assert status in allowed, told
    if SLOW not in case.answers and case.end != "cut":
        assert after_s < HEAD_S + 5.0, "a hang"
    for answer in answers:
        if answer.status >= 400 and answer.body:
            is_a_problem(answer)


def is_a_problem(answer: RawAnswer) -> None:
    """Machine-readable, and nothing of our inside in it."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.body)
    assert document["status"] == answer.status
    assert document["title"] and document["detail"]
    for word in (b"Traceback", b"aiohttp", b"Error(", b".py", b"127.0.0.1"):
        assert word not in answer.body


async def test_nothing_of_all_that_is_stored_and_it_could_have_been(run: Run, shared_stack: Stack) -> None:
    """The corpus proves nothing unless its update is one that works."""
    stack = shared_stack
    assert run.stored_after == run.stored_before
    async with Raw(stack.url) as raw:
        answer = await raw.ask(
            "/v1/status", method="POST", headers=f"Authorization: Bearer {stack.key}\r\n", body=UPDATE
        )
    assert (answer.status, len(UPDATE)) == (200, UPDATE_BYTES)
    assert json.loads(answer.body)["outcomes"] == [{"outcome": "applied"}]
    assert await stored(stack) != run.stored_before


async def test_whatever_came_the_service_is_as_quick_and_as_complete_as_before(run: Run, shared_stack: Stack) -> None:
    stack = shared_stack
    for _ in range(20):
        assert len((await stack.json("/v1/nearby?lat=48.8&lon=2.2"))["stations"]) == 20
    held = [await stack.metric(f"serve-{number}", "mapsvc_connections") for number in (1, 2)]
    assert sum(held) <= 5, "connections are forgotten when they end"
