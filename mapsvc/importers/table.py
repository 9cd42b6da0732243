"""Tables as registers publish them: CSV of any dialect, row by row, each row with the line it begins on.

The csv module alone lets one quote that nobody closed swallow what follows: the rest of the file, or one row, whose
position it then gives to another station. Hence strict reading, which sees that a quote ends where none can; and a record
that is damaged, too long or of another width than the heading costs its first line only: the others are read anew.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, NamedTuple, cast

from mapsvc.importers.item import KEPT, SKIPPED, Faults, Item
from mapsvc.importers.report import Reason, Report, UnreadableFile

HEADING_RECORDS = 50  # a heading may follow a preamble of titles, dates and licences, of at most this length
HEADING_LINES = 1_000
RECORD_LINES = 1_000  # of one record: more line breaks inside fields mean an unclosed quote
LINE_LENGTH = 1 << 20  # characters read as one line at most
DELIMITERS = (",", ";", "\t", "|")
UTF_16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Line = tuple[int, str]
Cells = list[str]


class Table(NamedTuple):
    columns: tuple[str, ...]
    heading_line: int
    rows: Iterator[tuple[int, Cells]]  # with the number of the row's first line; as many cells as columns


class RowItem(Item):
    """A row as an item. Its members have our names; faults are told by the register's own."""

    __slots__ = ()

    @classmethod
    def row(cls, faults: Faults, members: dict[str, object], told: dict[str, str]) -> RowItem:
        item = cls(faults, "", members)
        item._told = told
        return item

    def at(self, name: str) -> str:
        return "/" + self._told.get(name, name).replace("~", "~0").replace("/", "~1")  # RFC 6901 §3

    def cell(self, name: str) -> str:
        """The trimmed text of a cell; empty where there is none."""
        raw = self.members.get(name)
        return raw.strip() if isinstance(raw, str) else ""


def read_table(
    source: BinaryIO,
    report: Report,
    is_heading: Callable[[Sequence[str]], bool],
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
) -> Table:
    """The table whose first record that satisfies `is_heading` is its heading; raises UnreadableFile when none does.

    Without `delimiter` the first one of `DELIMITERS` that gives such a record.
    """
    lines = _lines(source, encoding, report)
    try:
        begin = list(islice(lines, HEADING_LINES))
    except UnicodeError as error:
        raise UnreadableFile(f"not {encoding}: {error}") from error
    if not any(text.strip() for _, text in begin):
        raise UnreadableFile("the file is empty")
    for candidate in [delimiter] if delimiter else DELIMITERS:
        feed = _Feed(begin)
        for number, cells in islice(_records(feed, candidate, None, 0), HEADING_RECORDS):
            columns = tuple(" ".join(cell.split()) for cell in cells)
            if is_heading(columns):
                rest = _Feed(chain(feed.rest(), lines))
                return Table(columns, number, _fitting(_records(rest, candidate, report, len(cells)), columns, report))
    raise UnreadableFile("no heading with the columns that are needed")


def _lines(source: BinaryIO, encoding: str, report: Report) -> Iterator[Line]:
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, source))
    if encoding == "utf-8" and buffered.peek(2)[:2] in UTF_16_BOMS:
        encoding = "utf-16"  # a byte order mark is no guess
    try:
        text = io.TextIOWrapper(buffered, encoding=encoding, errors="replace", newline="")
    except LookupError as error:
        raise UnreadableFile(f"no such encoding: {encoding}") from error
    number = 0
    while line := text.readline(LINE_LENGTH):
        number += 1
        if number == 1:
            line = line.removeprefix("\ufeff")
        if "\ufffd" in line:
            report.add("", None, "", Reason.ENCODING, KEPT, f"at character {line.index(chr(0xFFFD)) + 1}", number)
        yield number, line


class _Unclosed(Exception):
    """A record goes on and on."""


class _Feed:
    """Lines for the csv module, remembering those that the present record has taken, so that they can be put back."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._returned: deque[Line] = deque()
        self.taken: list[Line] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= RECORD_LINES:
            raise _Unclosed(f"a quote is not closed within {RECORD_LINES} lines")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        return line[1]

    def give_up_first(self) -> None:
        """The lines after the record's first are to be read again."""
        self._returned.extendleft(reversed(self.taken[1:]))

    def rest(self) -> Iterator[Line]:
        return chain(tuple(self._returned), self._lines)


def _records(feed: _Feed, delimiter: str, report: Report | None, width: int) -> Iterator[tuple[int, Cells]]:
    """The records with anything in them. `width`: cells of the heading, 0 before it is known."""
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.taken.clear()
        fault = ""
        cells: Cells = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _Unclosed) as error:
            fault = str(error)
        except UnicodeError as error:
            raise UnreadableFile(f"not in this encoding: {error}") from error
        if width and len(feed.taken) > 1 and not fault and len(cells) != width:
            fault = f"a quote that is not closed? {len(cells)} cells over {len(feed.taken)} lines"
        number = feed.taken[0][0] if feed.taken else 0
        if fault:
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            cells = _leniently(feed.taken, delimiter, width)
            if not cells:
                if report is not None:
                    report.add("", None, "", Reason.NOT_CSV, SKIPPED, fault, number)
                feed.give_up_first()
        if any(cell.strip() for cell in cells):
            yield number, cells


def _leniently(taken: Sequence[Line], delimiter: str, width: int) -> Cells:
    """A line with a stray quote ("Quay" north,54.3) is plain enough if it has the right number of cells."""
    if len(taken) != 1:
        return []
    try:
        cells = next(csv.reader([taken[0][1]], delimiter=delimiter), [])
    except csv.Error:
        return []
    return cells if len(cells) == width else []


def _fitting(
    records: Iterable[tuple[int, Cells]], columns: Sequence[str], report: Report
) -> Iterator[tuple[int, Cells]]:
    """Rows as wide as the heading."""
    width = len(columns)
    for number, cells in records:
        if len(cells) > width and any(cell.strip() for cell in cells[width:]):
            # Somewhere a delimiter stands in a value: which cells belong to which columns is not known.
            report.add("", None, "", Reason.CELL_COUNT, SKIPPED, f"{len(cells)} cells, {width} columns", number)
            continue
        if len(cells) < width:
            report.add("", None, "", Reason.CELL_COUNT, KEPT, f"{len(cells)} cells, {width} columns", number)
        yield number, (cells + [""] * (width - len(cells)))[:width]
