"""`mapsvc replay FORMAT FILE --speed X`: a recording of statuses, played through the service that runs.

    mapsvc replay ie dev_20181101-11.tsv.zst --speed 600            the Irish status stream
    mapsvc replay irve-sessions sessions.json.gz --speed 600        French sessions, on points that `import irve` made

Source time is mapped onto now, and a party's TTL is divided by the speed, so that a feed that fell silent for an hour
then ends in UNKNOWN now. Exit code 1 when the file cannot be read or the service did not take every status.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import asyncpg

from mapsvc import logs
from mapsvc.importers.report import Report, UnreadableFile
from mapsvc.replay import ie, irve_sessions
from mapsvc.replay.feed import ReplayError
from mapsvc.replay.player import Span
from mapsvc.replay.unpacking import recording
from mapsvc.settings import Settings

CONNECTIONS = 2
FORMATS: dict[str, Any] = {"ie": ie, "irve-sessions": irve_sessions}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("file", type=Path, metavar="FILE", help="plain, .gz or .zst")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="times as fast as it was (default: 1)")
    parser.add_argument(
        "--from", dest="begin", type=_instant, metavar="TIME", help="play from here, 2018-11-05T16:00 on"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--until", type=_instant, metavar="TIME", help="play up to here; without zone: the source's time")
    end.add_argument("--limit-hours", type=_speed, metavar="H", help="play this many hours of source time")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every dirty row there (.tsv, .json)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is None:
        print("mapsvc: set DATABASE_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    logs.setup(settings.log_level, "replay")
    try:
        return asyncio.run(_until_signal(args, settings))
    except (ReplayError, UnreadableFile) as error:
        print(f"mapsvc: {error}", file=sys.stderr)
        return 1


async def _until_signal(args: argparse.Namespace, settings: Settings) -> int:
    """SIGINT and SIGTERM end it in good order: the key is revoked and the TTL restored."""
    task = asyncio.ensure_future(_replay(args, settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    print("mapsvc: stopped before the end", file=sys.stderr)
    return 130


async def _replay(args: argparse.Namespace, settings: Settings) -> int:
    form = FORMATS[args.format]
    report = Report()
    report.file = args.file.name
    with recording(args.file) as source:
        recorded = form.read(source, report)
    first_ms, last_ms = form.span_ms(recorded)
    span = _span(args, first_ms, last_ms, form.ZONE)
    base_url = settings.ingest_url or f"http://{settings.listen}:{settings.port}"
    pool = await asyncpg.create_pool(settings.database_url, min_size=1, max_size=CONNECTIONS, command_timeout=60)
    try:
        summary, faithful = await form.play(recorded, report, span, pool, base_url)
    finally:
        await pool.close()
    print(summary)
    print(report.summary())
    if args.report is not None:
        report.write(args.report)
        print(f"report: {args.report}")
    return 0 if faithful else 1


def _span(args: argparse.Namespace, first_ms: int, last_ms: int, zone: tzinfo) -> Span:
    """Raises ReplayError where the recording has nothing."""

    def ms(at: datetime) -> int:
        return round((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)

    from_ms = first_ms if args.begin is None else max(first_ms, ms(args.begin))
    until_ms = last_ms if args.until is None else min(last_ms, ms(args.until))
    if args.limit_hours is not None:
        until_ms = min(last_ms, from_ms + round(args.limit_hours * 3_600_000))
    if from_ms >= until_ms:
        raise ReplayError("the recording has nothing between --from and the end")
    return Span(from_ms, until_ms, args.speed)


def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 < value < 1e6:
            return value
    raise argparse.ArgumentTypeError("a number above 0")


def _instant(text: str) -> datetime:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    raise argparse.ArgumentTypeError("a time like 2018-11-05T16:00, with or without a zone")
