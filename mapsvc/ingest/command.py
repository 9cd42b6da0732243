"""`mapsvc ingest`: the writer's process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
from urllib.parse import urlsplit

import asyncpg
from aiohttp import web

from cache.client import Cache
from cache.tasks import watch
from mapsvc import database
from mapsvc.connections import Connections, bind
from mapsvc.database import Database
from mapsvc.ingest.app import IngestApp
from mapsvc.ingest.service import StatusService
from mapsvc.metrics import Metrics
from mapsvc.role import Ending, Role
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

GRACE_S = 0.5  # for silent connections: API workers send again what meets a closed one, and wait for the next ingest
CONNECTIONS = 8  # a few shards commit at once: fsync waits overlap, and PostgreSQL groups their commits
PARTITIONS_AHEAD = 3  # hours of outbox, days of history
OUTBOX_KEEP_MS = 2 * 3_600_000  # a relay may be an hour behind; then Redis is rebuilt instead
HISTORY_KEEP_MS = 90 * 86_400_000
IDEMPOTENCY_KEEP_MS = 86_400_000
UPKEEP_S = 300.0  # partitions made and dropped, old idempotency answers purged
UPKEEP_STATEMENT_S = 120.0
COLLECT_AFTER = (
    50_000  # objects; Python's own 700 had the collector walk what waits for its commit an eighth of the time
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Takes status updates and stations, commits them to PostgreSQL, then acknowledges."


def run(_: argparse.Namespace, settings: Settings) -> int:
    return Role("ingest", settings).run(serve)


async def serve(role: Role) -> None:
    settings = role.settings
    gc.set_threshold(COLLECT_AFTER)
    url = urlsplit(settings.ingest_url or "http://127.0.0.1:0")
    pool = await Database.open(settings.database_url or "", CONNECTIONS)
    await _answering(pool)
    cache = Cache(settings.redis_url or "")
    service = StatusService(pool, cache)
    role.measure(
        {
            "mapsvc_ingest_waiting_rows": lambda: service.writers.waiting_rows,
            "mapsvc_ingest_pending_confirmations": lambda: service.writers.pending_rows,
            "mapsvc_confirmations_dropped_total": lambda: service.seen_dropped,
        }
    )
    listener = bind(url.hostname or "127.0.0.1", url.port or 0)
    runner = web.AppRunner(IngestApp(pool, service, role.metrics).application(), shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    upkeep = await Database.open(settings.database_url or "", 1, UPKEEP_STATEMENT_S)
    tasks = [asyncio.create_task(service.run()), asyncio.create_task(_keep_up(upkeep, role.metrics))]
    ending = Ending()
    connections = Connections(role.metrics)  # API workers hold many: no bound per address
    try:
        async with connections.serving(runner.server, listener):
            host, port = listener.getsockname()[:2]
            role.ready(f"http://{host}:{port}")
            try:
                await ending.asked_or([asyncio.create_task(watch(tasks))])
            finally:
                await connections.drain(GRACE_S, ending.hurry)  # while the writers still run
    finally:
        await runner.cleanup()
        for task in tasks:  # once only: the service then writes what it still holds
            task.cancel()
        await asyncio.wait(tasks)
        await cache.close()
        pool.terminate()
        upkeep.terminate()


async def _answering(pool: Database) -> None:
    """Waits for a database that is still starting."""
    while True:
        try:
            await pool.fetchval(queries.CLOCK_MS)
            return
        except (asyncpg.PostgresError, *database.DOWN) as error:
            log.warning("database does not answer", extra={"error": type(error).__name__})
            await asyncio.sleep(1)


async def _keep_up(pool: Database, metrics: Metrics) -> None:
    """Partitions ahead, old ones away; a failure waits for the next turn."""
    metrics.count("mapsvc_upkeep_failures", 0)
    while True:
        try:
            await pool.fetch(queries.MAKE_PARTITIONS, PARTITIONS_AHEAD)
            await pool.fetch(queries.DROP_OLD_PARTITIONS, OUTBOX_KEEP_MS, HISTORY_KEEP_MS)
            await pool.fetch(queries.IDEMPOTENCY_PURGE, IDEMPOTENCY_KEEP_MS)
        except (asyncpg.PostgresError, *database.DOWN) as error:
            metrics.count("mapsvc_upkeep_failures")
            log.warning("upkeep failed", extra={"error": type(error).__name__})
        await asyncio.sleep(UPKEEP_S)
