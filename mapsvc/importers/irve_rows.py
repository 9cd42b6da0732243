"""The rows of an IRVE file: one JSON object a line, or the official CSV with the same column names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

import orjson

from mapsvc.importers.irve_row import STATION_ID
from mapsvc.importers.item import KEPT, SKIPPED
from mapsvc.importers.report import Reason, Report, UnreadableFile

Lines = Iterator[tuple[int, bytes]]
Rows = Iterator[tuple[int, object]]  # with the number of the row's (last) line

BOM = b"\xef\xbb\xbf"


def rows(source: Iterable[bytes], report: Report) -> Rows:
    """The rows of a file. Raises `UnreadableFile` when its first line, or all of them, show that it is no register."""
    lines = enumerate(source, 1)
    for number, line in lines:
        first = line.removeprefix(BOM) if number == 1 else line
        if not first.strip():
            continue
        if first.lstrip().startswith(b"{"):
            return _json_rows(chain([(number, first)], lines), report)
        if STATION_ID.encode() in first:
            return _csv_rows(number, first, lines, report)
        raise UnreadableFile(f"neither one JSON object a line nor a CSV with the column {STATION_ID}")
    raise UnreadableFile("the file is empty")


def _json_rows(lines: Iterable[tuple[int, bytes]], report: Report) -> Rows:
    readable = False
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            report.add("", None, "", Reason.NOT_JSON, SKIPPED, str(error), number)
            continue
        readable = True
        yield number, row
    if not readable:
        raise UnreadableFile("no line of the file is JSON")


def _csv_rows(number: int, heading: bytes, lines: Lines, report: Report) -> Rows:
    heading_text = heading.decode("utf-8", "replace")
    delimiter = max(",;\t", key=heading_text.count)
    reader = csv.reader(_decoded(lines, report), delimiter=delimiter)
    columns = next(csv.reader([heading_text], delimiter=delimiter))
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # a field of more than 128 KB: a quote that nobody closed
            report.add("", None, "", Reason.NOT_CSV, SKIPPED, str(error), number + reader.line_num)
            continue
        if cells:
            yield number + reader.line_num, dict(zip(columns, cells, strict=False))


def _decoded(lines: Lines, report: Report) -> Iterator[str]:
    for number, line in lines:
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            report.add("", None, "", Reason.ENCODING, KEPT, f"at byte {error.start} of the line", number)
            yield line.decode("utf-8", "replace")
