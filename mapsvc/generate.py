"""`mapsvc generate`: a seeded synthetic country with live-looking statuses, through the same door as everything else."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
from tqdm import tqdm

from geo.station import Located
from mapsvc.door import Door
from mapsvc.generate_plan import plan
from mapsvc.generate_world import generate, statuses
from mapsvc.settings import Settings
from sql import queries

AT_ONCE = 800  # stations handed to the door: fifty a shard, so that its lock is held for about 10 ms
NICE = 10  # live statuses go first
CONNECTIONS = 1  # two or more gained 10 % alone and cost live statuses seconds: the database has other work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stations", type=int, required=True, metavar="N", help="how many stations; 3 EVSEs each on average"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--prefix", default="", help="put before every location id: stations beside those of another run"
    )
    parser.add_argument(
        "--roads", type=Path, metavar="FILE.osm.pbf", help="also write its roads as OSM data, for `mapsvc roads`"
    )
    parser.add_argument("--only-roads", action="store_true", help="write the roads and stop; needs no database")
    parser.add_argument("--without-status", action="store_true", help="as a register: no EVSE has reported yet")


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.only_roads and args.roads is None:
        print("mapsvc: --only-roads needs --roads FILE.osm.pbf", file=sys.stderr)
        return 2
    if settings.database_url is None and not args.only_roads:
        print("mapsvc: set DATABASE_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    os.nice(NICE)
    if args.roads is not None:
        try:
            lay_out(args.stations, args.seed, args.roads)
        except (OSError, ValueError) as error:
            print(f"mapsvc: {error}", file=sys.stderr)
            return 2
    if settings.database_url is None or args.only_roads:
        return 0
    asyncio.run(load(settings.database_url, args.stations, args.seed, live=not args.without_status, prefix=args.prefix))
    return 0


def lay_out(stations: int, seed: int, path: Path) -> None:
    """Writes the roads. Raises OSError, or ValueError as `plan` and `write_roads` do."""
    from mapsvc.generate_osm import write_roads  # the API workers import this module's neighbours, but never osmium

    written = write_roads(plan(stations, seed), path)
    print(f"{path}: {written.nodes:,} nodes, {written.ways:,} ways, {written.km:,.0f} km of roads", flush=True)


async def load(database_url: str, stations: int, seed: int, *, live: bool = True, prefix: str = "") -> Door:
    """Generates and writes; returns the door with its tally."""
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=CONNECTIONS, command_timeout=120)
    try:
        door = Door(pool)
        now_ms = await pool.fetchval(queries.CLOCK_MS)
        with tqdm(total=stations, unit=" stations", disable=None, mininterval=0.5, smoothing=0.05) as progress:
            for chunk in _chunks(generated(stations, seed, now_ms, live=live, prefix=prefix)):
                await door.add_parties({item.station.party for item in chunk}, live=True)
                await door.put(chunk)
                progress.update(len(chunk))
        return door
    finally:
        await pool.close()


def generated(stations: int, seed: int, now_ms: int, *, live: bool, prefix: str) -> Iterator[Located]:
    rng = random.Random(seed)  # noqa: S311 (a repeatable world, not a secret)
    for item in generate(stations, seed):
        if prefix:
            named = msgspec.structs.replace(item.station, location_id=prefix + item.station.location_id)
            item = msgspec.structs.replace(item, station=named)
        yield msgspec.structs.replace(item, reports=statuses(item, rng, now_ms)) if live else item


def _chunks(items: Iterator[Located]) -> Iterator[list[Located]]:
    while chunk := list(itertools.islice(items, AT_ONCE)):
        yield chunk
