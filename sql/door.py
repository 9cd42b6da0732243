"""The one door to the database with typed rows: what goes through it and what comes back.

functions/apply_batch.sql (stations, and statuses of one shard) and functions/apply_statuses.sql (statuses of many) say what
each field means and which promises hold; here rows only become parallel arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import asyncpg

from sql import queries

BATCH_ROWS = 1000  # stations + statuses in one call; the function refuses more


class StatusRow(NamedTuple):
    """One status report, resolved to its EVSE. In the order of receipt; several of one EVSE are allowed."""

    num: int
    slot: int
    uid_key: str
    status: int
    k1: int
    k2: int
    changed_ms: int
    seen_ms: int
    known_k1: int | None = None
    known_k2: int | None = None
    confirm_after_ms: int = 0


_KNOWN_K1, _KNOWN_K2 = StatusRow._fields.index("known_k1"), StatusRow._fields.index("known_k2")


class EvseRow(NamedTuple):
    slot: int
    uid: str
    uid_key: str
    evse_id: str | None = None
    gone: bool = False


class StationRow(NamedTuple):
    """One station's document. `expected_n`: its n as last read; None: it must not exist yet."""

    num: int
    expected_n: int | None
    key: str
    party: str
    location_id: str
    doc: str
    lat: float
    lon: float
    publish: bool
    removed: bool
    last_updated_ms: int
    cell: int
    evses: Sequence[EvseRow] = ()


class StatusOutcome(NamedTuple):
    """`outcome`: applied (then `n` is its number), confirmed, late, unknown_evse.

    `status`, `k1`, `k2`: what stands after this row; `seen_ms` as stored then; `written`: the row reached the table
    (a confirmation mostly does not: its key and `seen_ms` are then the caller's to remember).
    """

    outcome: str
    n: int | None
    status: int | None
    k1: int | None
    k2: int | None
    seen_ms: int | None
    written: bool


class Settled(NamedTuple):
    """What became of one status, as far as who reported it needs to know. `outcome`: those of StatusOutcome, or busy."""

    outcome: str
    written: bool


BUSY = Settled("busy", False)
"""Somebody else holds the shard: nothing of it was done, and nobody waited."""

NO_STATUS = StatusOutcome("unknown_evse", None, None, None, None, None, False)


class StationOutcome(NamedTuple):
    """`outcome`: applied (then `n` is its number) or conflict: the station is not as expected, nothing was written."""

    outcome: str
    n: int | None


class BatchResult(NamedTuple):
    """Outcomes in the order of the rows given."""

    statuses: list[StatusOutcome]
    stations: list[StationOutcome]


class Connection(Protocol):
    """What a batch needs of an asyncpg connection or pool."""

    async def fetch(self, query: str, /, *args: Any) -> list[Any]: ...


async def apply_batch(
    connection: Connection,
    shard: int,
    statuses: Sequence[StatusRow] = (),
    stations: Sequence[StationRow] = (),
    now_ms: int | None = None,
) -> BatchResult:
    """Stations first, then statuses, in one transaction; committed when this returns (unless the caller opened one)."""
    evses = [(ord_, *evse) for ord_, station in enumerate(stations) for evse in station.evses]
    arguments = (
        shard,
        *_columns(statuses, len(StatusRow._fields)),
        *_columns([station[:-1] for station in stations], len(StationRow._fields) - 1),
        *_columns(evses, len(EvseRow._fields) + 1),
        now_ms,
    )
    rows = await _fetch(connection, queries.APPLY_BATCH, arguments)
    result = BatchResult([NO_STATUS] * len(statuses), [StationOutcome(row[2], row[3]) for row in rows[: len(stations)]])
    for row in rows[len(stations) :]:
        result.statuses[row[1]] = StatusOutcome(*row[2:])
    return result


async def apply_statuses(
    connection: Connection, by_shard: Mapping[int, Sequence[StatusRow]], *, wait: bool
) -> dict[int, list[Settled]]:
    """Statuses of several shards in one transaction; what became of each, by shard in the order given. A shard that somebody
    else holds is `BUSY` as a whole. `wait`: for that somebody; then only one shard may be given."""
    shards = [shard for shard, part in by_shard.items() for _ in part]
    rows = [row for part in by_shard.values() for row in part]
    columns = _columns(rows, len(StatusRow._fields))
    if all(known is None for known in columns[_KNOWN_K1]):
        columns[_KNOWN_K1] = columns[_KNOWN_K2] = ()  # nearly always; what is not in an array is NULL as well
    settled: list[Settled | None] = [None] * len(rows)
    for outcome, written, ords in await _fetch(connection, queries.APPLY_STATUSES, (shards, *columns, wait, None)):
        settled_as = Settled(outcome, written)
        for ord_ in ords:
            settled[ord_] = settled_as
    answered = [one for one in settled if one is not None]
    if len(answered) != len(rows):  # no answer must never pass for an acknowledgement (R1)
        raise RuntimeError("the database did not answer for every row")
    result, start = {}, 0
    for shard, part in by_shard.items():
        result[shard] = answered[start : start + len(part)]
        start += len(part)
    return result


async def _fetch(connection: Connection, query: str, arguments: Sequence[Any]) -> list[Any]:
    try:
        return await connection.fetch(query, *arguments)
    except asyncpg.CheckViolationError as error:
        # A row was on its way into the default partition when its own one was made (late): PostgreSQL then refuses it
        # there, and nothing of the batch is stored. Now it finds its own.
        if not (error.table_name or "").endswith("_default"):
            raise
        return await connection.fetch(query, *arguments)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    return columns or [()] * width
