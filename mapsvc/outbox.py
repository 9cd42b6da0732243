"""The outbox as the relay reads it: statuses of many shards at once, packed; whatever else there is, row by row.

Promise R5: what is read begins right after what was carried and has no hole. `Rows.follows` says whether it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cache.keys import CELL_RES
from cache.writer import Batch, StatesBatch, empty_states
from geo.h3bits import parent_cells
from mapsvc.cached_form import cell_name, placed, states_of
from sql import queries

BATCH_ROWS = 1000  # rows of one shard in one script call: about 3 ms of Redis
TOGETHER_ROWS = 4000  # rows of all shards in one turn: a relay that catches up is not to hold up everything else
BATCH_STATIONS = 100  # a station row is a hundred times a status row: more of them would make statuses wait

PACKED = np.dtype(
    [("num", ">i8"), ("n", ">i8"), ("changed_ms", ">i8"), ("seen_ms", ">i8"), ("cell", ">i8"), ("slot", ">i2"),
     ("status", ">i2")]
)  # fmt: skip
"""A row of queries/outbox_states.sql."""


class Rows(NamedTuple):
    """What a shard has after `head`. `batch` None: not statuses alone, so it has to be read by `read_batch`."""

    head: int
    size: int
    first: int | None
    last: int
    may_have_more: bool
    batch: StatesBatch | None

    @property
    def follows(self) -> bool:
        """Begins right after the head and has no hole."""
        return self.first == self.head + 1 and self.last == self.head + self.size


async def read_states(pool: Any, heads: Mapping[int, int]) -> dict[int, Rows]:
    """The next rows of these shards, by shard. `heads`: the last n carried of each."""
    limit = max(BATCH_ROWS // 10, min(BATCH_ROWS, TOGETHER_ROWS // len(heads)))
    found = await pool.fetch(queries.OUTBOX_STATES, list(heads), list(heads.values()), limit)
    packed = [row["packed"] or b"" if not row["whole"] else b"" for row in found]
    told = np.frombuffer(b"".join(packed), PACKED)
    states = empty_states(len(told))
    for name in ("num", "n", "changed_ms", "seen_ms", "slot", "status"):
        states[name] = told[name]
    cells = told["cell"].astype(np.uint64)
    shown = cells != 0  # a status of a station that nobody may see goes nowhere; its number still passes
    states, names = states[shown], [f"{cell:x}" for cell in parent_cells(cells[shown], CELL_RES).tolist()]
    ends = np.concatenate(([0], np.cumsum(shown)))  # of the first i rows, how many are shown
    result: dict[int, Rows] = {}
    at = 0
    for row, bytes_ in zip(found, packed, strict=True):
        head, first, last = heads[row["shard"]], row["first_n"], row["last_n"] or 0
        batch = None
        if first is not None and not row["whole"]:
            count = len(bytes_) // PACKED.itemsize
            part = slice(int(ends[at]), int(ends[at + count]))
            at += count
            batch = StatesBatch(first, last, row["clock_ms"], states[part], names[part])
        result[row["shard"]] = Rows(head, row["rows"], first, last, row["rows"] == limit, batch)
    return result


async def read_batch(pool: Any, shard: int, head: int) -> Batch | None:
    """The next rows of one shard with the stations that they name, as those are now; None: they do not follow the head."""
    rows = await pool.fetch(queries.OUTBOX_READ, shard, head, BATCH_ROWS)
    if not rows or rows[0]["n"] != head + 1:
        return None
    whole = [i for i, row in enumerate(rows) if row["kind"] != "s"]
    if len(whole) > BATCH_STATIONS:
        rows = rows[: whole[BATCH_STATIONS]]
    nums = sorted({row["num"] for row in rows if row["kind"] != "s"})
    stations = [placed(row) for row in await pool.fetch(queries.STATIONS_BY_NUM, nums)] if nums else []
    shown = [row for row in rows if row["kind"] == "s" and row["cell"] is not None]
    states = empty_states()
    if shown:
        num, slot, status, n, changed, seen = zip(
            *((r["num"], r["slot"], r["status"], r["n"], r["changed_ms"], r["seen_ms"]) for r in shown), strict=True
        )
        states = states_of(num, slot, status, n, changed, seen)
    cells = {row["num"]: cell_name(row["cell"]) for row in shown}
    return Batch(rows[0]["n"], rows[-1]["n"], rows[-1]["created_ms"], states, cells, stations)
