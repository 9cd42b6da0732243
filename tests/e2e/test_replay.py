"""Recordings played through the real service: what the API shows equals an independent reading of the file."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import zstandard

from geo.station import Evse, Located, Station
from sql import queries
from tests.e2e.replay_check import Checker, Compared, Mapping, Reading, polls_of
from tests.e2e.stack import ROOT, Stack
from tests.mapsvc.replay.made_up import nothing, row

ENOUGH_S = 60.0


@asynccontextmanager
async def replayed(stack: Stack, *words: str) -> AsyncIterator[tuple[Mapping, asyncio.Task[str]]]:
    """A replay that runs: how it maps time, and a task that ends with it and has its summary."""
    with (stack.folder / "replay.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mapsvc", "replay", *words,
            cwd=ROOT, env=stack.environment("command"), stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip

    async def end() -> str:
        assert process.stdout is not None
        summary = (await process.stdout.read()).decode()
        assert await process.wait() == 0, summary
        return summary

    try:
        assert process.stdout is not None
        async with asyncio.timeout(ENOUGH_S):
            line = (await process.stdout.readline()).decode()
            task = asyncio.create_task(end())
            yield Mapping.of(line), task
            await task
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def at_the_end(stack: Stack, reading: Reading, mapping: Mapping, *, statuses_only: bool = False) -> Compared:
    """Every station, when the replay's last word has come through."""
    for _ in range(50):
        final = Compared()
        checker = Checker(stack.url, reading, mapping)
        await checker.compare(final, reading.stations, at=mapping.until_ms, statuses_only=statuses_only)
        if not final.differences:
            break
        await asyncio.sleep(0.2)
    return final


async def leftovers(stack: Stack) -> tuple[dict[str, int | None], int]:
    """The parties' TTLs, and how many keys are still valid."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        parties = {row["id"]: row["ttl_s"] for row in await connection.fetch(queries.PARTIES)}
        valid = sum(row["revoked_at"] is None for row in await connection.fetch(queries.API_KEYS))
        return parties, valid
    finally:
        await connection.close()


async def test_the_irish_stream_shows_what_an_independent_reading_of_the_file_says(
    stack: Stack, shared_data: Path
) -> None:
    """Two parts: a working day's afternoon, alive at its end; and the last night, whose collector falls silent at 04:52."""
    path = shared_data / "ie_status" / "dev_20181101-11.tsv.zst"
    await stack.start("ingest", "relay", "serve")
    polls = polls_of(path)

    async with replayed(
        stack, "ie", str(path), "--speed", "3600", "--from", "2018-11-05T15:00", "--limit-hours", "2"
    ) as (mapping, ended):
        reading = Reading(polls, mapping.from_ms, mapping.until_ms)
        assert "0 cut off" in await ended
    final = await at_the_end(stack, reading, mapping)
    assert final.differences == []
    assert (final.stations, final.evses) == (529, 1012)
    assert final.unknown < 200
    assert await leftovers(stack) == ({"IE*ECA": 900}, 0)

    async with replayed(
        stack, "ie", str(path), "--speed", "3000", "--from", "2018-11-11T00:00", "--until", "2018-11-11T11:00"
    ) as (mapping, ended):
        reading = Reading(polls, mapping.from_ms, mapping.until_ms)
        hourly = Compared()
        await Checker(stack.url, reading, mapping).hours(hourly, part=3)
        summary = await ended
    assert hourly.differences == []
    assert hourly.hours >= 6
    assert hourly.expired > 529 / 3  # an hour of the silence
    assert "statuses:" in summary
    final = await at_the_end(stack, reading, mapping, statuses_only=True)
    assert final.differences == []
    assert final.unknown == final.evses == 1012  # and so they stay, though the party's TTL is 900 s again
    assert stack.complaints() == []


async def test_a_poll_that_was_cut_off_frees_nothing_and_silence_ends_in_unknown(stack: Stack, tmp_path: Path) -> None:
    """Ten points; a cut poll that lists one; then four hours of silence, in which the TTL of 2.5 runs out."""
    path = tmp_path / "made_up.tsv.zst"
    polls = [row("1100", f"CP:{i}/A", "Part" if i % 2 else "OOS") for i in range(10)]
    path.write_bytes(zstandard.compress(b"".join([*polls, row("1110", "CP:0/A"), b"not a row\n", nothing("1530")])))
    await stack.start("ingest", "relay", "serve")
    async with replayed(stack, "ie", str(path), "--speed", "1800") as (mapping, ended):
        reading = Reading(polls_of(path), mapping.from_ms, mapping.until_ms)
        hourly = Compared()
        await asyncio.sleep(max(0.0, mapping.wall_ms(mapping.from_ms + 3_000_000) / 1000 - stack.clock_ms() / 1000))
        checker = Checker(stack.url, reading, mapping)
        await checker.compare(hourly, reading.stations)
        assert (hourly.differences, hourly.expired) == ([], 0)
        await checker.hours(hourly)
        assert hourly.expired > 0
        assert "1 complete  1 cut off  1 without rows" in await ended
    assert hourly.differences == []
    shown = await stack.json("/v1/stations/IE*ECA~CP%3A1%2FA")
    assert [evse["status"] for evse in shown["evses"]] == ["UNKNOWN", "UNKNOWN"]


async def test_a_replay_that_is_stopped_leaves_neither_its_key_nor_its_ttl(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "made_up.tsv"
    path.write_bytes(row("1100") + row("1200"))
    await stack.start("ingest")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mapsvc", "replay", "ie", str(path), "--speed", "60",
        cwd=ROOT, env=stack.environment("command"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(ENOUGH_S):
            assert (await process.stdout.readline()).startswith(b"playing ")
            assert await leftovers(stack) == ({"IE*ECA": 15}, 1)
            process.terminate()
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert await leftovers(stack) == ({"IE*ECA": 900}, 0)


async def test_french_sessions_play_on_the_registers_points(stack: Stack, tmp_path: Path) -> None:
    start = 1_733_000_000_000
    sessions = [("FRA1", 0, 40), ("FRA2", 20, 60), ("FRA2", 70, 200), ("FRNOWHERE", 5, 6), ("FRA3", 9, 8)]
    path = tmp_path / "sessions.json"
    path.write_text(
        "".join(
            json.dumps({"id_pdc_itinerance": point, "start": start + a * 60_000, "end": start + b * 60_000}) + "\n"
            for point, a, b in sessions
        )
    )
    evses = tuple(Evse(uid) for uid in ("FRA1", "FRA2", "FRA3"))
    station = Station(
        party="irve", location_id="FRP1", lat=48.8, lon=2.3, last_updated_ms=1, evses=evses, source="irve"
    )
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(queries.PARTY_PUT, "irve", "register", "IRVE", "ts", None)
    await connection.close()
    await stack.put([Located(station)])
    await stack.start("ingest", "relay", "serve")

    async def statuses(field: str) -> list[str]:
        return [evse[field] for evse in (await stack.json("/v1/stations/irve~FRP1"))["evses"]]

    async with replayed(stack, "irve-sessions", str(path), "--speed", "500", "--limit-hours", "1.25") as (_, ended):
        assert await leftovers(stack) == ({"irve": 900}, 1)
        seen: list[list[str]] = []
        while not ended.done():
            now = await statuses("status")
            if not seen or seen[-1] != now:
                seen.append(now)
            await asyncio.sleep(0.02)
        summary = await ended
    alive = [now for now in seen if "CHARGING" in now]
    assert ["CHARGING", "UNKNOWN", "UNKNOWN"] in alive
    assert ["CHARGING", "CHARGING", "UNKNOWN"] in alive
    assert ["AVAILABLE", "CHARGING", "UNKNOWN"] in alive
    assert ["AVAILABLE", "AVAILABLE", "UNKNOWN"] in seen
    assert "2 played  1 not in the store, with 1 stays" in summary
    assert "impossible_timestamp" in summary
    assert await statuses("reported_status") == ["AVAILABLE", "CHARGING", "UNKNOWN"]
    assert await leftovers(stack) == ({"irve": None}, 0)
