"""`mapsvc import FORMAT FILE…`: registers and feeds into the store, with counts and a report of every dirty row.

Exit code 0 with a report, however dirty the rows; 1 when a file as a whole cannot be read (the others are imported).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import asyncpg
from tqdm import tqdm

from geo.station import Located, station_key
from mapsvc.access import party_id
from mapsvc.door import Door, Fate
from mapsvc.importers import afdc, bnetza, csv_options, csv_register, irve, ocpi, superchargers
from mapsvc.importers.csv_options import CsvOptions
from mapsvc.importers.download import LIMITS, is_url, local_file, shown_name
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from mapsvc.importers.source import open_source
from mapsvc.settings import Settings
from sql import queries

AT_ONCE = 400  # stations handed to the door at once: about 25 a shard, so that statuses never wait long behind them
NICE = 10  # live statuses go first
CONNECTIONS = 1  # two or more gained 10 % alone and cost live statuses seconds: the database has other work
FULL_LIMIT = (
    0.10  # `--full` refuses to remove more than this part of a party's stations: a truncated feed looks the same
)


class Told(NamedTuple):
    """What the command line says about the files."""

    party: str | None = None
    csv: CsvOptions | None = None


Reader = Callable[[BinaryIO, Told, Report], Iterable[Located]]

FORMATS: dict[str, tuple[Reader, bool]] = {
    "ocpi": (lambda file, told, report: ocpi.parse(file.read(), party=told.party, report=report), True),
    "irve": (lambda file, _, report: irve.parse(file, report=report), False),
    "afdc": (lambda file, _, report: afdc.parse(file, report=report), False),
    "bnetza": (lambda file, _, report: bnetza.parse(file, report=report), False),
    "superchargers": (lambda file, _, report: superchargers.parse(file.read(), report=report), False),
    "csv": (lambda file, told, report: _read_csv(file, told, report), False),
}
"""By name: how to read, and whether its parties report live statuses."""


def _read_csv(file: BinaryIO, told: Told, report: Report) -> Iterable[Located]:
    if told.party is None or told.csv is None:
        raise ValueError("a table has no party and no columns of its own accord")
    return csv_register.parse(file, party=told.party, options=told.csv, report=report)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file or an http(s) URL, plain or .gz")
    parser.add_argument(
        "--party", type=party_id, metavar="CC*ID", help="owner of stations that name none; csv: a name for the register"
    )
    parser.add_argument(
        "--full", action="store_true", help="the files are all of their parties: mark what is missing REMOVED"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every dirty row there (.tsv, .json)")
    table = parser.add_argument_group(
        "csv", "which column is what (a heading, or #3 for the third), and how it is written"
    )
    table.add_argument(
        "--map",
        type=csv_options.column_map,
        metavar="name=…,lat=…,lon=…",
        help="also: " + ", ".join(field for field in csv_options.FIELDS if field not in csv_options.NEEDED),
    )
    table.add_argument("--delimiter", type=csv_options.delimiter, metavar=";", help="else found out")
    table.add_argument(
        "--decimal", choices=(",", "."), metavar=",", help="else either; the other one then separates thousands"
    )
    table.add_argument("--encoding", type=csv_options.encoding, metavar="NAME", help="else UTF-8, or what a BOM says")
    table.add_argument("--country", type=csv_options.country, metavar="CC", help="of stations that name none")


def _told(args: argparse.Namespace) -> Told:
    """Raises ValueError with what does not fit together."""
    table = {name: getattr(args, name) for name in ("delimiter", "decimal", "encoding", "country")}
    if args.format != "csv":
        odd = [name for name, value in (table | {"map": args.map}).items() if value is not None]
        if odd:
            raise ValueError(f"--{odd[0]} is for csv; {args.format} knows its columns")
        return Told(args.party)
    if args.map is None or args.party is None:
        raise ValueError("csv needs --map, which tells the columns, and --party, the register's name for ever")
    return Told(args.party, CsvOptions(args.map, **table))


def run(args: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is None:
        print("mapsvc: set DATABASE_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    try:
        told = _told(args)
    except ValueError as error:
        print(f"mapsvc: {error}", file=sys.stderr)
        return 2
    os.nice(NICE)
    return asyncio.run(_run(args, told, settings.database_url))


async def _run(args: argparse.Namespace, told: Told, database_url: str) -> int:
    report, code = Report(), 0
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=CONNECTIONS, command_timeout=120)
    try:
        importer = Import(pool, args.format, report)
        for name in args.files:
            try:
                await importer.source(name, told)
            except UnreadableFile as error:
                print(f"mapsvc: {error.reason}", file=sys.stderr)
                code = 1
        if args.full:
            if code:
                print("mapsvc: --full does nothing when a file could not be read", file=sys.stderr)
            else:
                code = await importer.remove_missing()
        print(importer.summary())
        if args.report is not None:
            report.write(args.report)
            print(f"report: {args.report}")
    finally:
        await pool.close()
    return code


class Import:
    """One run of the command over its files."""

    def __init__(self, pool: Any, format_name: str, report: Report) -> None:
        self._pool = pool
        self._read, self._live = FORMATS[format_name]
        self._report = report
        self._keys: dict[str, set[str]] = {}  # party -> the station keys that the files name
        self.door = Door(pool)

    async def source(self, name: str, told: Told) -> None:
        """A file or a URL. Raises UnreadableFile; stations that came before a tear in the file are in the store."""
        path = None
        try:
            async with local_file(name) as path:
                await self._file(path, told, LIMITS.size_bytes if is_url(name) else None)
        except UnreadableFile as error:
            raise UnreadableFile(f"{shown_name(name)}: {error.reason.removeprefix(f'{path}: ')}") from error

    async def _file(self, path: Path, told: Told, most_bytes: int | None) -> None:
        self._report.file = path.name
        with open_source(path, most_bytes=most_bytes) as source:
            stations = self._read(source, told, self._report)
            bar = tqdm(stations, unit=" stations", desc=path.name, disable=None, leave=False, file=sys.stderr)
            for chunk in _chunks(iter(bar)):
                for item in chunk:
                    self._keys.setdefault(item.station.party, set()).add(item.station.key)
                await self.door.add_parties({item.station.party for item in chunk}, live=self._live)
                await self.door.put(chunk)

    async def remove_missing(self) -> int:
        """Marks REMOVED what the parties' files no longer name. Exit code 1 if that would be too much."""
        code = 0
        if self._report.by_reason[Reason.MORE_PAGES]:
            print("mapsvc: --full does nothing: a file is one page of several", file=sys.stderr)
            return 1
        self._spare_skipped()
        for party, keys in sorted(self._keys.items()):
            missing = [r["key"] for r in await self._pool.fetch(queries.STATIONS_OF_PARTY_EXCEPT, party, sorted(keys))]
            total = await self._pool.fetchval(queries.STATION_COUNT, party)
            if len(missing) > FULL_LIMIT * total:
                print(
                    f"mapsvc: {party}: {len(missing)} of {total} stations are not in the files, more than "
                    f"{FULL_LIMIT:.0%}: none was removed",
                    file=sys.stderr,
                )
                code = 1
                continue
            for start in range(0, len(missing), AT_ONCE):
                await self.door.remove(missing[start : start + AT_ONCE])
        return code

    def _spare_skipped(self) -> None:
        """A station that the files name, but that could not be read, has not vanished."""
        skipped = {row.id for row in self._report.rows if row.id and row.outcome is Outcome.SKIPPED}
        for party, keys in self._keys.items():
            keys.update(station_key(party, name) for name in skipped)

    def summary(self) -> str:
        tally = self.door.tally
        lines = [
            _counts("stations", tally.stations, (Fate.NEW, Fate.CHANGED, Fate.UNCHANGED, Fate.LATE, Fate.REMOVED)),
            _counts("EVSEs", tally.evses, ("new", "changed", "unchanged", "vanished")),
            _counts("connectors", tally.connectors, ("new", "changed", "unchanged", "vanished")),
        ]
        if tally.statuses.total():
            lines.append(
                _counts("statuses", tally.statuses, ("applied", "confirmed", "late", "future", "unknown_evse"))
            )
        return "\n".join([*lines, self._report.summary()])


def _counts(what: str, counts: Any, words: Iterable[str]) -> str:
    return f"{what + ':':<12}" + "  ".join(f"{counts[word]} {word}" for word in words)


def _chunks(items: Iterator[Located]) -> Iterator[list[Located]]:
    while chunk := list(itertools.islice(items, AT_ONCE)):
        yield chunk
