"""What S5 and S6 stand on: the service on a world of its own, the EVSEs and probes, the key, and processes of our own beside.

The world is not the other steps' one: updates go into it, and imports that stay (the table says how many stations it has by
now). History is emptied after every run, or each would leave a gigabyte behind.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg

from loadtests.bench import jobs
from loadtests.bench.ingest import evses
from loadtests.bench.ingest.watch import parse
from loadtests.bench.ingest.yardstick import URL_VARIABLE
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.service import BENCH_DIR, Service
from loadtests.options import KEY_VARIABLE

QUIET_S = 60.0


@dataclass(frozen=True)
class Scale:
    name: str
    stations: int
    evses: int  # that are reported, from all over the world
    rate: float
    seconds: float
    yardstick_s: float
    probe_s: float
    knee_s: float
    import_stations: int
    hot_rate: float = 200.0
    rows: int = 500
    workers: int = 2


FULL = Scale("full", 1_000_000, 200_000, 20_000, 600.0, 10.0, 60.0, 20.0, 50_000)
QUICK = Scale("quick", 20_000, 40_000, 20_000, 30.0, 4.0, 8.0, 5.0, 2_000)


class Job(jobs.Job):
    def __init__(self, stand: Stand, module: str, name: str, *words: str) -> None:
        secrets = {KEY_VARIABLE: stand.key, URL_VARIABLE: stand.service.database_url}
        super().__init__(f"loadtests.bench.ingest.{module}", stand.folder, name, words, environment=secrets)


class Stand:
    def __init__(self, scale: Scale, service: Service, say: Callable[[str], None]) -> None:
        self.scale, self.service, self.say = scale, service, say
        self.folder = BENCH_DIR / "ingest"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def prepare(self) -> None:
        """What takes long the first time, and must not be part of anything measured."""
        self.say(f"{len(self.found.evses):,} EVSEs, {len(self.found.probes)} probes, {len(self.found.parties)} parties")
        assert self.key

    # -- who is reported ------------------------------------------------------------------------------------------------

    @property
    def evses_path(self) -> Path:
        return self.service.data_dir / f"evses-{self.scale.evses}.json"

    @cached_property
    def found(self) -> evses.Found:
        if not self.evses_path.exists():
            evses.find(self.service.url, self.scale.evses, self.say).save(self.evses_path)
        return evses.Found.load(self.evses_path)

    @cached_property
    def key(self) -> str:
        """A new one for all parties."""
        return self.service.command("keys", "create", *self.found.parties, "--label", "bench").split()[-1]

    # -- processes beside -----------------------------------------------------------------------------------------------

    def produce(self, name: str, rate: float, seconds: float, rows: int) -> Job:
        """`rate` 0: as many as it takes."""
        return Job(self, "producer", name, *self._producer(rows), "--rate", str(rate), "--seconds", str(seconds))

    def visit_all(self) -> None:
        """Every EVSE gets the status that a producer then begins to change; ingest knows them all from now on."""
        self.say("reporting every EVSE once")
        told = Job(self, "producer", "visit", *self._producer(self.scale.rows), "--connections", "4").told(300.0)
        outcomes = told["outcomes"]
        if told["refused"] or outcomes.get("applied", 0) + outcomes.get("confirmed", 0) != told["sent"]:
            raise WrongAnswerError(f"a first report of every EVSE: {told['sent']} sent, {outcomes}, {told['refused']}")

    def _producer(self, rows: int) -> list[str]:
        return ["--url", self.service.url, "--evses", str(self.evses_path), "--rows", str(rows)]

    def probe(self, name: str, seconds: float, *, in_turn: bool) -> Job:
        return Job(self, "probing", name, "--url", self.service.url, "--evses", str(self.evses_path), "--seconds",
                   str(seconds), *(["--in-turn"] if in_turn else []))  # fmt: skip

    def ask_hot_tile(self, name: str, seconds: float) -> Job:
        return Job(self, "hot_tile", name, "--url", self.service.url, "--path", self.found.hot_tile, "--rate",
                   str(self.scale.hot_rate), "--seconds", str(seconds))  # fmt: skip

    # -- the database's word --------------------------------------------------------------------------------------------

    def ask(self, query: str) -> Any:
        """One value."""
        return asyncio.run(_fetchval(self.service.database_url, query))

    def history_rows(self) -> int:
        return int(self.ask("SELECT count(*) FROM status_history"))

    def check_history(self, before: int, applied: int, what: str) -> None:
        """What was acknowledged as applied is in the history, and nothing else is."""
        rows = self.history_rows() - before
        if rows != applied:
            raise WrongAnswerError(f"{what}: {applied} updates acknowledged as applied, {rows} in the history")

    def forget_history(self) -> None:
        self.ask("TRUNCATE status_history")

    def wait_until_carried(self) -> None:
        """Until nothing waits anywhere."""
        ending = time.monotonic() + QUIET_S
        quiet = 0
        while quiet < 3:
            waiting, carrying, _ = parse(self.service.metrics())
            quiet = quiet + 1 if waiting + carrying == 0 else 0
            if time.monotonic() > ending:
                raise ProgramError(
                    f"after {QUIET_S:.0f} s {waiting:.0f} rows still wait and {carrying:.0f} are on their way"
                )
            time.sleep(0.5)


async def _fetchval(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def world_name(scale: Scale) -> str:
    return f"ingest-{scale.stations}"
