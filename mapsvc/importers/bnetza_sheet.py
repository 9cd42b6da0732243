"""The sheet of a spreadsheet (xlsx) as rows of texts.

openpyxl reads the format; it is a library of many exceptions for a file that is not what it says, and a zip file may be
a bomb. Both end here: what comes out are rows, or `UnreadableFile`.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, BinaryIO

import openpyxl

from mapsvc.importers.report import UnreadableFile
from mapsvc.importers.values import number_text

MOST_FILE_BYTES = 256 << 20
MOST_UNPACKED_BYTES = 1 << 30  # ten times the German register of 2025
MOST_ROWS = 1 << 20  # Excel's own limit

Cells = list[str]


def sheet_rows(source: BinaryIO) -> Iterator[tuple[int, Cells]]:
    """The rows of the first sheet with anything in them, numbered as in the sheet; empty cells are "". Raises
    `UnreadableFile` at once when it is no spreadsheet, later when a part of it is damaged."""
    raw = source.read(MOST_FILE_BYTES + 1)
    if len(raw) > MOST_FILE_BYTES:
        raise UnreadableFile(f"more than {MOST_FILE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
    except Exception as error:
        raise UnreadableFile(f"no spreadsheet (xlsx): {error}") from error
    if unpacked > MOST_UNPACKED_BYTES:
        raise UnreadableFile(f"unpacks to more than {MOST_UNPACKED_BYTES} bytes")
    return _rows(_first_sheet(raw))


def _first_sheet(raw: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are nothing to us
            sheet = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True).worksheets[0]
        sheet.reset_dimensions()  # some writers tell a wrong size
    except Exception as error:
        raise UnreadableFile(f"no spreadsheet (xlsx): {type(error).__name__}: {error}") from error
    return sheet


def _rows(sheet: Any) -> Iterator[tuple[int, Cells]]:
    try:
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number > MOST_ROWS:
                raise UnreadableFile(f"more than {MOST_ROWS} rows")
            cells = [_text(value) for value in values]
            if any(cells):
                yield number, cells
    except UnreadableFile:
        raise
    except Exception as error:
        raise UnreadableFile(f"damaged spreadsheet: {type(error).__name__}: {error}") from error


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return number_text(value) or ""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value).strip()
