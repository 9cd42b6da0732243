"""`mapsvc migrate`: bring the database at DATABASE_URL to the current schema."""

from __future__ import annotations

import argparse
import sys

import asyncpg

from mapsvc.logs import scrub
from mapsvc.settings import Settings
from sql.migrate import MigrationError, latest, upgrade


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace, settings: Settings) -> int:
    if settings.database_url is None:
        print("migrate: DATABASE_URL is not set", file=sys.stderr)
        return 2
    try:
        upgrade(settings.database_url)
    except (MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        print(f"migrate: {scrub(str(error)) or type(error).__name__}", file=sys.stderr)
        return 1
    print(f"the database is at revision {latest()}")
    return 0
