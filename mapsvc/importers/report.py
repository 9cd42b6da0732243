"""The report of dirty rows: what was wrong, where, and what became of it.

One `Row` per fault. A fault never stops an import: only `UnreadableFile` does, when the file as a whole is no register.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec

from mapsvc.importers.reasons import EXPLAINED, Outcome, Reason

__all__ = ["EXPLAINED", "LocationError", "Outcome", "Reason", "Report", "Row", "UnreadableFile"]

MAX_ROWS = 1_000_000  # rows kept in memory; beyond, faults are counted only (a row is some 300 bytes)
DETAIL_LENGTH = 160  # characters of a told value worth repeating in a row


class UnreadableFile(Exception):
    """The file as a whole is not what it should be. `reason` is one sentence for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LocationError(Exception):
    """Strict reading found faults: all of them, as (JSON pointer, what is allowed there)."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or '/'}: {allowed}" for pointer, allowed in errors))
        self.errors = errors


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault. `where` is a JSON pointer, within the file or (with one object a line) within the line."""

    where: str
    id: str | None
    field: str
    reason: Reason
    outcome: Outcome
    detail: str = ""
    line: int | None = None  # first line of the item in the file, where known
    file: str = ""


class Report:
    """Collects faults and counts them."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self.rows: list[Row] = []
        self.counts: Counter[tuple[Reason, Outcome]] = Counter()
        self.file = ""  # what is being read, where several files share a report: stands in each row
        self._max_rows = max_rows

    def add(
        self,
        where: str,
        id: str | None,
        field: str,
        reason: Reason,
        outcome: Outcome,
        detail: str = "",
        line: int | None = None,
    ) -> None:
        self.counts[reason, outcome] += 1
        if len(self.rows) < self._max_rows:
            self.rows.append(Row(where, id, field, reason, outcome, _one_line(detail), line, self.file))

    @property
    def by_reason(self) -> Counter[Reason]:
        counts: Counter[Reason] = Counter()
        for (reason, _), count in self.counts.items():
            counts[reason] += count
        return counts

    @property
    def total(self) -> int:
        return self.counts.total()

    def write(self, path: Path) -> None:
        """JSON lines for a name ending in .json, .jsonl or .ndjson, else tab-separated with a heading."""
        with path.open("wb") as out:
            if path.suffix in {".json", ".jsonl", ".ndjson"}:
                out.writelines(msgspec.json.encode(row) + b"\n" for row in self.rows)
            else:
                out.write(b"file\tline\twhere\tid\tfield\treason\toutcome\tdetail\n")
                out.writelines(_tsv(row) for row in self.rows)

    def summary(self) -> str:
        """A few lines for people: the number of faults, then one line a reason, the most frequent first."""
        if not self.counts:
            return "no dirty rows"
        lines = [f"{self.total} dirty rows"]
        if self.total > len(self.rows):
            lines[0] += f" (the first {len(self.rows)} are written out)"
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"{count:>8}  {outcome:<7}  {reason}" for (reason, outcome), count in ordered]
        return "\n".join(lines)


# What would break a row of the table or cannot be encoded: C0 and C1 controls, line separators, lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _one_line(text: str) -> str:
    text = _UNPRINTABLE.sub(" ", text)
    return text if len(text) <= DETAIL_LENGTH else text[: DETAIL_LENGTH - 1] + "…"


def _tsv(row: Row) -> bytes:
    line = "" if row.line is None else str(row.line)
    cells = (row.file, line, row.where, row.id or "", row.field, row.reason, row.outcome, row.detail)
    return ("\t".join(_UNPRINTABLE.sub(" ", cell) for cell in cells) + "\n").encode()
