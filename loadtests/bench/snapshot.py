"""The world as the benchmark knows it: columns read once from PostGIS, the source of truth, without any code of the
service. Peers are loaded with it, and answers are compared with it by brute force.

Statuses do not age here, because the parties of a bench world have a TTL of a year (see `service`).
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

import asyncpg
import numpy as np
import orjson
from numpy.typing import NDArray

SQL = Path(__file__).parent / "sql"
STATIONS = (SQL / "stations.sql").read_text(encoding="utf-8")
PAGE = 5000
SUMMARIES = "summaries.ndjson"
FREE, BUSY, OUT_OF_SERVICE, UNKNOWN = range(4)
CLASS_OF_STATUS = (UNKNOWN, FREE, BUSY, BUSY, OUT_OF_SERVICE, OUT_OF_SERVICE, OUT_OF_SERVICE, -1, BUSY)
"""By the storage code of geo.station.Status: UNKNOWN AVAILABLE BLOCKED CHARGING INOPERATIVE OUTOFORDER PLANNED REMOVED
RESERVED."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Snapshot(NamedTuple):
    """Row i of the station columns is line i of `summaries` (JSON objects as nearby shows them, but for the distance and
    `open_now`, which is null: whether a place is open changes with the hour)."""

    num: Ints
    lat: Floats
    lon: Floats
    counts: Ints  # (n, 4): EVSEs that are free, busy, out of service, unknown
    max_kw: Floats  # 0: not known
    evse_station: Ints  # row of the station of each EVSE …
    evse_class: Ints  # … and FREE, BUSY, OUT_OF_SERVICE or UNKNOWN
    plug_evse: Ints  # row of the EVSE of each connector …
    plug_standard: Ints  # … index in `standards` …
    plug_kw: Floats  # … and power; NaN: not known
    standards: tuple[str, ...]
    ids: tuple[str, ...]
    summaries: Path

    def __len__(self) -> int:
        return len(self.num)

    @property
    def total(self) -> Ints:
        found: Ints = self.counts.sum(axis=1)
        return found

    def rarest_standard(self) -> str:
        """The connector type that the fewest connectors are of; of those that occur at all."""
        counts = np.bincount(self.plug_standard, minlength=len(self.standards))
        return self.standards[int(np.argmin(np.where(counts > 0, counts, counts.max() + 1)))]


def load(folder: Path) -> Snapshot:
    """What `save` wrote."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    with np.load(folder / "columns.npz") as columns:
        return Snapshot(
            **{name: columns[name] for name in columns.files},
            standards=tuple(texts["standards"]),
            ids=tuple(texts["ids"]),
            summaries=folder / SUMMARIES,
        )


async def save(database_url: str, folder: Path) -> None:
    """Reads every station; a million take about a minute."""
    columns = _Columns()
    connection = await asyncpg.connect(database_url)
    try:
        with _new_file(folder / SUMMARIES) as file:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                cursor = await connection.cursor(STATIONS)
                while rows := await cursor.fetch(PAGE):
                    file.write(b"".join(columns.add(row) + b"\n" for row in rows))
    finally:
        await connection.close()
    columns.write(folder)


def _new_file(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


class _Columns:
    def __init__(self) -> None:
        self.ids: list[str] = []
        self.standards: dict[str, int] = {}
        self.stations = array("d")  # flat, eight numbers a station: lists of tuples would take gigabytes
        self.evses = array("q")  # two
        self.plugs = array("d")  # three

    def add(self, row: Any) -> bytes:
        """The summary."""
        doc = orjson.loads(row["doc"])
        classes = {slot: CLASS_OF_STATUS[status] for slot, status in zip(row["slots"], row["statuses"], strict=True)}
        station, counts, best_kw, plugs = len(self.ids), [0, 0, 0, 0], 0.0, set()
        for evse in doc.get("evses", ()):
            if evse["slot"] not in classes:
                continue  # REMOVED
            counts[classes[evse["slot"]]] += 1
            self.evses.extend((station, classes[evse["slot"]]))
            for connector in evse.get("connectors", ()):
                kw = connector.get("power_kw")
                plugs.add(connector["standard"])
                number = self.standards.setdefault(connector["standard"], len(self.standards))
                self.plugs.extend((len(self.evses) // 2 - 1, number, float("nan") if kw is None else kw))
                best_kw = max(best_kw, kw or 0.0)
        told_id = quote(f"{row['party']}~{row['location_id']}", safe="*~")
        self.ids.append(told_id)
        self.stations.extend((row["num"], row["lat"], row["lon"], best_kw, *counts))
        reported = [at for at in zip(row["changed_ms"], row["seen_ms"], strict=True) if at[1] > 0]
        return orjson.dumps(
            {
                "id": told_id,
                **{name: doc.get(name) for name in ("name", "address", "city", "operator")},
                "lat": row["lat"],
                "lon": row["lon"],
                "connectors": sorted(plugs),
                "max_power_kw": _power(best_kw),
                "evses": {"total": sum(counts), **dict(zip(COUNT_NAMES, counts, strict=True))},
                "open_now": None,
                "changed_at": _instant(max((at[0] for at in reported), default=0)),
                "seen_at": _instant(max((at[1] for at in reported), default=0)),
            }
        )

    def write(self, folder: Path) -> None:
        stations = np.array(self.stations, np.float64).reshape(-1, 8)
        evses = np.array(self.evses, np.int64).reshape(-1, 2)
        plugs = np.array(self.plugs, np.float64).reshape(-1, 3)
        np.savez(
            folder / "columns.npz",
            num=stations[:, 0].astype(np.int64),
            lat=stations[:, 1],
            lon=stations[:, 2],
            max_kw=stations[:, 3],
            counts=stations[:, 4:].astype(np.int64),
            evse_station=evses[:, 0],
            evse_class=evses[:, 1],
            plug_evse=plugs[:, 0].astype(np.int64),
            plug_standard=plugs[:, 1].astype(np.int64),
            plug_kw=plugs[:, 2],
        )
        (folder / "texts.json").write_text(
            json.dumps({"standards": list(self.standards), "ids": self.ids}), encoding="utf-8"
        )


COUNT_NAMES = ("available", "busy", "out_of_service", "unknown")


def _power(kw: float) -> float | int | None:
    """As the API says it: one decimal at most, null where nothing is known."""
    told = round(float(np.float32(kw)), 1)
    return None if told <= 0 else int(told) if told == int(told) else told


def _instant(ms: int) -> str | None:
    if ms <= 0:
        return None
    seconds, rest = divmod(ms, 1000)
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


def lines(snapshot: Snapshot) -> Iterator[bytes]:
    """The summaries, in the order of the columns."""
    with snapshot.summaries.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")
