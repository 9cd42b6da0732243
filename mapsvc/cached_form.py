"""From rows of the database to what Redis holds: the only place where the two meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h3.api.basic_int as h3
import numpy as np

from cache.codec import pack_doc
from cache.keys import CELL_RES
from cache.writer import Placed
from geo.record import STATE, States, make_record, tombstone
from geo.station import decode_doc
from geo.zones import zone_for

Row = Mapping[str, Any]


def cell_name(cell: int) -> str:
    """The cell of CELL_RES that a finer one belongs to, as H3 spells it."""
    return f"{h3.cell_to_parent(cell, CELL_RES):x}"


def placed(row: Row) -> Placed:
    """A row of queries/stations_by_num.sql or snapshot_shard.sql; a tombstone if nobody may see the station."""
    num, cell = row["num"], cell_name(row["cell"])
    states = states_of(num, row["slots"], row["statuses"], row["ns"], row["changed_ms"], row["seen_ms"])
    if row["removed"] or not row["publish"]:
        return Placed(tombstone(num, row["n"]), states, cell)
    station = decode_doc(row["doc"])
    return Placed(make_record(station, num, row["n"], pack_doc, zone_for), states, cell)


def states_of(
    num: int | Sequence[int],
    slots: Sequence[int],
    statuses: Sequence[int],
    ns: Sequence[int],
    changed_ms: Sequence[int | None],
    seen_ms: Sequence[int | None],
) -> States:
    states = np.zeros(len(slots), STATE)
    states["num"], states["slot"], states["status"], states["n"] = num, slots, statuses, ns
    states["changed_ms"] = [at or 0 for at in changed_ms]
    states["seen_ms"] = [at or 0 for at in seen_ms]
    return states
