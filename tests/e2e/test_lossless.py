"""Promise R1: no update that was acknowledged as applied is ever lost, whoever is killed. And the control: with
`synchronous_commit=off` the same ledger finds losses, so it would have found them in the test proper."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapsvc.engines import PostgresEngine
from sql.migrate import upgrade
from tests.e2e.compare import assert_all_equal
from tests.e2e.ledger import Ledger
from tests.e2e.stack import TORTURE, Stack

ROUNDS = 50 if TORTURE else 5
ROWS_A_ROUND = 60  # acknowledged between two kills
ROUND_S = 60.0
SEED = random.SystemRandom().randrange(1 << 32)
VICTIMS = ("ingest", "relay", "worker", "postgres")

# Everything that could write the log of an unsynchronous commit to the file before the kill.
CARELESS = {
    "synchronous_commit": "off",
    "wal_writer_delay": "10000ms",
    "wal_writer_flush_after": "1GB",
    "wal_buffers": "64MB",
    "autovacuum": "off",
}
CONTROL_ROUNDS = 8  # the first one almost always suffices


@pytest.fixture(scope="module")
def durable_folder(engines_dir: Path) -> Iterator[Path]:
    """A migrated cluster that syncs its files, as in production; the engine of all other tests does not."""
    engine = PostgresEngine(engines_dir / "postgres-durable")
    engine.start()
    upgrade(engine.url)
    engine.stop()
    yield engine.data_dir
    shutil.rmtree(engine.home, ignore_errors=True)


def durable(folder: Path, options: dict[str, str] | None = None) -> PostgresEngine:
    engine = PostgresEngine(folder, options={"shared_buffers": "64MB", "max_wal_size": "512MB", **(options or {})})
    engine.start()
    return engine


async def test_nothing_acknowledged_is_lost_while_ingest_relay_workers_and_postgres_are_killed(
    durable_folder: Path, redis_url: str, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    engine = durable(durable_folder)
    try:
        async with Stack(engine.url, redis_url, tmp_path) as stack:
            evses = await stack.fill(60, prefix="kill")
            await stack.start("ingest", "relay", "serve")
            ledger = Ledger(stack, evses, seed=SEED)
            ledger.start(4)
            order = [victim for _ in range(ROUNDS // len(VICTIMS) + 1) for victim in draw.sample(VICTIMS, len(VICTIMS))]
            for victim in order[:ROUNDS]:
                await ledger.wait_for(ROWS_A_ROUND, ROUND_S)
                await asyncio.sleep(draw.random() / 5)
                await kill_and_restart(stack, engine, victim, draw)
            await ledger.wait_for(ROWS_A_ROUND, ROUND_S)
            await ledger.stop()
            print(f"{len(ledger.applied)} rows applied; answers {dict(ledger.answers)}")
            assert len(ledger.applied) > ROWS_A_ROUND * ROUNDS
            assert await ledger.missing() == []
            await assert_all_equal(stack)
            assert stack.complaints() == []
    finally:
        await asyncio.to_thread(engine.stop, "immediate")


async def kill_and_restart(stack: Stack, engine: PostgresEngine, victim: str, draw: random.Random) -> None:
    if victim == "worker":
        os.kill(draw.choice(stack.workers()), signal.SIGKILL)  # its parent starts another one
    elif victim == "postgres":
        await asyncio.to_thread(draw.choice((engine.kill, lambda: engine.stop("immediate"))))
        await asyncio.sleep(draw.random())
        await asyncio.to_thread(engine.start)
    else:
        stack.kill(victim)
        await asyncio.sleep(draw.random() / 2)
        await stack.start(victim)


async def test_control_without_synchronous_commit_the_same_ledger_finds_losses(
    durable_folder: Path, redis_url: str, tmp_path: Path
) -> None:
    engine = durable(durable_folder, CARELESS)
    try:
        async with Stack(engine.url, redis_url, tmp_path) as stack:
            evses = await stack.fill(60, prefix="careless")
            await stack.start("ingest")
            for turn in range(CONTROL_ROUNDS):
                ledger = Ledger(stack, evses, seed=turn, url=stack.ingest_url)
                ledger.start(4)
                await ledger.wait_for(300, ROUND_S)
                await asyncio.to_thread(engine.kill)
                await ledger.stop()
                await asyncio.to_thread(engine.start)
                missing = await ledger.missing()
                print(f"round {turn}: {len(missing)} of {len(ledger.applied)} acknowledged rows lost")
                if missing:
                    return
            pytest.fail("no loss in any round: the ledger would not notice one")
    finally:
        await asyncio.to_thread(engine.stop, "immediate")
