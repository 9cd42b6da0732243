"""What the API shows while the Irish recording is replayed, compared each source hour with a reading of our own.

    .venv/bin/python -m mapsvc replay ie FILE --speed 600 | .venv/bin/python -m tests.e2e.replay_check FILE URL

The reading shares no code with the service: it goes by what ../shared/data/SOURCES.md says of the file and by the issue's
sentence (Occ CHARGING, Part one of two free, OOS OUTOFORDER, OOC UNKNOWN, absent AVAILABLE but not from a poll under 70 %
of the one before, silence UNKNOWN by TTL). A status on its way is no difference: a station must show what the reading has
at one instant of the last LAG_S, all its EVSEs together, and each EVSE with the very instant of its change.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import zstandard
from yarl import URL

LAG_S = 1.0  # of real time, from the mapped instant of a poll until the API shows it
LATE_S = 30.0
HOUR_MS = 3_600_000
AT_ONCE = 8

MEANS = {"Occ": ("CHARGING", "CHARGING"), "Part": ("CHARGING", "AVAILABLE"), "OOS": ("OUTOFORDER", "OUTOFORDER"),
         "OOC": ("UNKNOWN", "UNKNOWN"), None: ("AVAILABLE", "AVAILABLE")}  # fmt: skip

Key = tuple[str, str, str]  # id, plug, "lon,lat" as the file has them
Polls = dict[int, dict[Key, str]]  # by instant
Shown = tuple[tuple[str, str, str, int], ...]  # of each EVSE of a station: uid, status, reported status, change


class Timeline:
    """One EVSE: when it changed to what, and when it was vouched for by name (complete polls vouch for all)."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, str]] = []
        self.named: list[int] = []


class Reading:
    def __init__(self, polls: Polls, from_ms: int, until_ms: int) -> None:
        self.poll_times = sorted(polls)
        self.stations, groups = _stations(polls)
        self.lines: dict[tuple[str, str], Timeline] = {}
        self.vouched: list[int] = []  # complete polls
        previous = 0
        for at in self.poll_times:
            rows = polls[at]
            complete = len(rows) >= 0.7 * previous and len(rows) > 0
            previous = len(rows) or previous
            if not from_ms <= at <= until_ms or not rows:
                continue
            for (station, plug), keys in groups.items():
                said = [rows[key] for key in keys if key in rows]
                if said or complete:
                    words = MEANS[said[-1] if said else None]
                    for uid, word in zip(self.stations[station][plug], words, strict=False):
                        self._say(station, uid, word, at, by_name=not complete)
            if complete:
                self.vouched.append(at)

    def _say(self, station: str, uid: str, word: str, at: int, *, by_name: bool) -> None:
        line = self.lines.setdefault((station, uid), Timeline())
        if not line.changes or line.changes[-1][1] != word:
            line.changes.append((at, word))
        if by_name:
            line.named.append(at)

    def shown(self, station: str, at: int, ttl_ms: int) -> Shown:
        """What a station shows at an instant of source time; the change is in source time, 0: never reported."""
        told = []
        for uid in sorted(uid for uids in self.stations[station].values() for uid in uids):
            line = self.lines.get((station, uid), Timeline())
            i = bisect_right(line.changes, (at, "~")) - 1
            if i < 0:
                told.append((uid, "UNKNOWN", "UNKNOWN", 0))
                continue
            change, word = line.changes[i]
            seen = max((t[k] for t in (self.vouched, line.named) if (k := bisect_right(t, at) - 1) >= 0), default=0)
            told.append((uid, word if at < seen + ttl_ms else "UNKNOWN", word, change))
        return tuple(told)

    def shown_within(self, station: str, first: int, last: int, ttl_ms: int) -> list[Shown]:
        """Every state of a station between two instants, the last one first."""
        polls = self.poll_times[bisect_right(self.poll_times, first) : bisect_right(self.poll_times, last)]
        heard = [t for t in (*self.vouched, *polls) if first <= t + ttl_ms <= last]
        instants = {first, last, *polls, *(t - 1 for t in polls), *(t + ttl_ms for t in heard)}
        return [self.shown(station, at, ttl_ms) for at in sorted(instants, reverse=True) if first <= at <= last]


def polls_of(path: Path) -> Polls:
    """All rows of each poll, by its instant. Irish time is UTC in November."""
    polls: Polls = {}
    with path.open("rb") as packed:
        plain = zstandard.ZstdDecompressor().stream_reader(packed)
        for line in io.TextIOWrapper(plain, encoding="latin-1", newline="\n"):
            columns = line.split("\t")
            if len(columns) != 9:
                continue
            date, minute, id, plug, word, place = columns[:6]
            rows = polls.setdefault(_poll_ms(date, minute), {})
            if word != "NA":
                rows[id, plug, place] = word
    return polls


@cache
def _poll_ms(date: str, minute: str) -> int:
    at = datetime.strptime(date + minute.zfill(4), "%Y%m%d%H%M").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1000


def _stations(
    polls: Polls,
) -> tuple[dict[str, dict[str, list[str]]], dict[tuple[str, str], list[Key]]]:
    """location id -> plug -> uids, and what in the file speaks of each. One id within 1 km is one station."""
    first: dict[Key, None] = {}
    halved: set[Key] = set()
    for at in sorted(polls):
        for key, word in polls[at].items():
            first.setdefault(key)
            if word == "Part":
                halved.add(key)
    places: dict[str, list[list[str]]] = {}  # id -> places -> positions
    for id, _, place in first:
        mine = places.setdefault(id, [])
        near = [p for p in mine if any(_km(place, other) < (0.0001 if id == "N/A" else 1) for other in p)]
        if not near:
            mine.append([place])
        elif place not in near[0]:
            near[0].append(place)
    stations: dict[str, dict[str, list[str]]] = {}
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in first:
        id, plug, place = key
        (mine_first,) = [p[0] for p in places[id] if place in p]
        name = id if len(places[id]) == 1 and id != "N/A" else f"{id}@{mine_first}"
        groups.setdefault((name, plug), []).append(key)
    for (name, plug), keys in groups.items():
        two = any(key in halved for key in keys)
        stations.setdefault(name, {})[plug] = [f"{plug}-1", f"{plug}-2"] if two else [f"{plug}-1"]
    return stations, groups


def _km(a: str, b: str) -> float:
    (lon1, lat1), (lon2, lat2) = (map(float, text.split(",")) for text in (a, b))
    return 111.2 * math.hypot(lat1 - lat2, (lon1 - lon2) * math.cos(math.radians(lat1)))


class Mapping(NamedTuple):
    """How the replay lays source time on ours: its own first line says it."""

    from_ms: int
    until_ms: int
    speed: float
    start_ms: int
    ttl_s: int

    @classmethod
    def of(cls, line: str) -> Mapping:
        found = re.fullmatch(r"playing (\S+) to (\S+) at (\S+)x from (\S+) to \S+, ttl (\d+) s\s*", line)
        assert found is not None, line
        begin, until, speed, start, ttl = found.groups()
        return cls(_ms(begin), _ms(until), float(speed), _ms(start), int(ttl))

    @property
    def ttl_ms(self) -> int:
        """In source time."""
        return round(self.ttl_s * 1000 * self.speed)

    def wall_ms(self, source_ms: int) -> int:
        return self.start_ms + math.floor((source_ms - self.from_ms) / self.speed)

    def source_ms(self, wall_ms: float) -> int:
        return min(self.until_ms, round(self.from_ms + (wall_ms - self.start_ms) * self.speed))


class Compared:
    """Counts of one comparison or many. On a machine that stalls, a station may be late (it shows what the reading had up
    to LATE_S ago, change instants included), or UNKNOWN early (a heartbeat was late): counted apart from differences."""

    def __init__(self) -> None:
        self.hours = 0
        self.stations = 0
        self.evses = 0
        self.at_once = 0  # stations that showed the very latest state, with nothing on its way
        self.unknown = 0
        self.expired = 0  # EVSEs that show UNKNOWN for their age alone
        self.late = 0
        self.early = 0
        self.differences: list[str] = []

    def add(self, station: str, told: Shown, allowed: Sequence[Shown], before: Callable[[], Sequence[Shown]]) -> None:
        self.stations += 1
        self.evses += len(told)
        self.unknown += sum(status == "UNKNOWN" for _, status, _, _ in told)
        self.expired += sum(status == "UNKNOWN" != reported for _, status, reported, _ in told)
        self.at_once += told == allowed[0]
        if told in allowed:
            return
        earlier = before()
        if told in earlier:
            self.late += 1
        elif any(_early(told, shown) for shown in (*allowed, *earlier)):
            self.early += 1
        else:
            self.differences.append(f"{station}: shown {told}, read {allowed[:3]}")

    def __str__(self) -> str:
        return (
            f"{self.hours} hours, {self.stations} stations and {self.evses} EVSEs compared ({self.unknown} UNKNOWN, "
            f"{self.expired} of them by age), {self.at_once} stations with nothing on its way, {self.late} late by more than "
            f"{LAG_S:g} s, {self.early} UNKNOWN early, {len(self.differences)} differences"
        )


def _early(told: Shown, read: Shown) -> bool:
    """Differs in nothing but that statuses have expired already."""
    return len(told) == len(read) and all(
        a[0] == b[0] and a[2:] == b[2:] and a[1] in (b[1], "UNKNOWN") for a, b in zip(told, read, strict=True)
    )


class Checker:
    def __init__(self, url: str, reading: Reading, mapping: Mapping) -> None:
        self._url, self._reading, self._map = url, reading, mapping
        self._first_ms = mapping.wall_ms(reading.vouched[0])

    async def hours(self, compared: Compared, part: int = 1) -> None:
        """At each full hour of source time before the end: every `part`-th station, another part each hour."""
        names = sorted(self._reading.stations)
        first = -(-self._map.from_ms // HOUR_MS) * HOUR_MS
        for number, hour in enumerate(range(first, self._map.until_ms, HOUR_MS)):
            wait_s = self._map.wall_ms(hour) / 1000 - time.time()
            if wait_s < -HOUR_MS / 1000 / self._map.speed:
                continue  # the hour is over before we came to it
            await asyncio.sleep(max(0.0, wait_s))
            before = len(compared.differences)
            await self.compare(compared, names[number % part :: part])
            compared.hours += 1
            for difference in compared.differences[before : before + 3]:
                print(datetime.fromtimestamp(hour / 1000, UTC), difference, flush=True)

    async def compare(
        self, compared: Compared, names: Iterable[str], *, at: int | None = None, statuses_only: bool = False
    ) -> None:
        """`at`: the source stands still there (the replay has ended, and what was alive then stays). `statuses_only`:
        without reported statuses and changes, for at its end a replay reports UNKNOWN itself of what has expired."""
        queue = list(names)

        async def work(session: aiohttp.ClientSession) -> None:
            while queue:
                name = queue.pop()
                asked_ms = time.time() * 1000
                told = await self._shown(session, name)
                if at is None:
                    allowed = self._between(name, asked_ms - 1000 * LAG_S, time.time() * 1000 + 1)
                    compared.add(name, told, allowed, partial(self._between, name, asked_ms - 1000 * LATE_S, asked_ms))
                    continue
                allowed = self._within(name, at, at)
                if statuses_only:
                    told, allowed = _statuses(told), [_statuses(shown) for shown in allowed]
                compared.add(name, told, allowed, list)

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))

    def _between(self, name: str, first_ms: float, last_ms: float) -> list[Shown]:
        """Of our time."""
        return self._within(name, self._map.source_ms(first_ms), self._map.source_ms(last_ms))

    def _within(self, name: str, first: int, last: int) -> list[Shown]:
        return [
            tuple(
                (uid, status, word, self._map.wall_ms(change) if change else 0) for uid, status, word, change in shown
            )
            for shown in self._reading.shown_within(name, first, last, self._map.ttl_ms)
        ]

    async def _shown(self, session: aiohttp.ClientSession, name: str) -> Shown:
        address = f"{self._url}/v1/stations/{quote(f'IE*ECA~{name}', safe='*~')}"
        async with session.get(_encoded(address)) as answer:
            assert answer.status == 200, (name, answer.status)
            evses = json.loads(await answer.read())["evses"]
        return tuple(sorted((e["uid"], e["status"], e["reported_status"], self._change_ms(e)) for e in evses))

    def _change_ms(self, evse: dict[str, str | None]) -> int:
        """What was so before the replay began was only confirmed by its first poll."""
        at = evse["changed_at"]
        return max(_ms(at), self._first_ms) if at is not None else 0


def _encoded(address: str) -> URL:
    return URL(address, encoded=True)


def _ms(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


async def _main(path: Path, url: str) -> int:
    polls = polls_of(path)
    line = await asyncio.to_thread(sys.stdin.readline)
    mapping, compared = Mapping.of(line), Compared()
    print(line, end="", flush=True)
    reading = Reading(polls, mapping.from_ms, mapping.until_ms)
    await Checker(url, reading, mapping).hours(compared)
    print(await asyncio.to_thread(sys.stdin.read), end="")
    print("hourly:", compared)
    final = Compared()
    await Checker(url, reading, mapping).compare(final, reading.stations, at=mapping.until_ms, statuses_only=True)
    print("final:", final)
    return 1 if compared.differences or final.differences else 0


def _statuses(shown: Shown) -> Shown:
    return tuple((uid, status, status, 0) for uid, status, _, _ in shown)


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(Path(sys.argv[1]), sys.argv[2])))
