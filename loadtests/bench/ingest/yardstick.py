"""What the same PostgreSQL does when it is asked for nothing but updates: a bare batched guarded update loop, committed with
fsync and synchronous_commit on, on a table of its own. `python -m loadtests.bench.ingest.yardstick`.

Two connections, a thousand rows a statement: what ingest, validation, resolution, history, numbering, the relay, Redis and the
workers cost is the difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from loadtests.bench import snapshot as snapshots

TABLE = (snapshots.SQL / "bare_table.sql").read_text(encoding="utf-8")
UPDATE = (snapshots.SQL / "bare_update.sql").read_text(encoding="utf-8")
URL_VARIABLE = "BENCH_DATABASE_URL"
CONNECTIONS = 2
ROWS = 1000
EVSES = 200_000


async def prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in filter(str.strip, TABLE.split(";")):
            await connection.execute(statement)
    finally:
        await connection.close()


async def drop(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS bench.bare")
    finally:
        await connection.close()


async def measure(url: str, seconds: float) -> dict[str, Any]:
    """`sent` rows were updated, every one; `took_s`."""
    connections = [await asyncpg.connect(url) for _ in range(CONNECTIONS)]
    try:
        for setting in ("fsync", "synchronous_commit"):
            if (value := await connections[0].fetchval(f"SHOW {setting}")) != "on":
                raise RuntimeError(f"{setting} is {value}")
        # Any: a table is in no order that matters here, and shuffling is ours.
        evses = [tuple(row) for row in await connections[0].fetch("SELECT num, slot FROM bench.bare LIMIT $1", EVSES)]
        random.Random(1).shuffle(evses)  # noqa: S311 (a repeatable load, not a secret)
        began = time.perf_counter()
        sent = await asyncio.gather(
            *(_update(one, evses[k::CONNECTIONS], began + seconds) for k, one in enumerate(connections))
        )
        return {"sent": sum(sent), "took_s": time.perf_counter() - began}
    finally:
        for one in connections:
            await one.close()


async def _update(connection: Any, evses: Sequence[tuple[Any, ...]], until: float) -> int:
    """Rows sent, all of them updated. RuntimeError if the guard refused one: a guard that rejects rows looks fast."""
    sent = start = turn = 0
    while time.perf_counter() < until:
        part = evses[start : start + ROWS]
        start = (start + ROWS) % max(1, len(evses) - ROWS + 1)
        turn += 1
        now_ms = time.time_ns() // 1_000_000
        nums, slots = zip(*part, strict=True)
        told = await connection.execute(
            UPDATE, nums, slots, [1 + turn % 5] * len(part), [now_ms] * len(part), [now_ms] * len(part)
        )
        if told != f"UPDATE {len(part)}":
            raise RuntimeError(f"{len(part)} rows sent, {told}")
        sent += len(part)
    return sent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    args.out.write_text(json.dumps(asyncio.run(measure(os.environ[URL_VARIABLE], args.seconds))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
