"""What `import csv` is told of a table that it knows nothing about: which column is what, and how it is written."""

from __future__ import annotations

import argparse
import codecs
import re
from typing import NamedTuple

from mapsvc.importers import countries

FIELDS = (
    "name", "lat", "lon", "id", "power_kw", "connector", "evses", "operator", "address", "city", "postal_code", "state",
    "country", "hours", "price", "access", "updated",
)  # fmt: skip
NEEDED = ("name", "lat", "lon")
_FIELD = re.compile(rf"(?:^|,)\s*({'|'.join(FIELDS)})\s*=")
_NUMBERED = re.compile(r"#([1-9]\d{0,3})")


class CsvOptions(NamedTuple):
    """`columns`: heading by field, or `#k` for the k-th column. None: found out, or the usual."""

    columns: dict[str, str]
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    country: str | None = None  # alpha-3, of rows that name none


def column_map(text: str) -> dict[str, str]:
    """argparse type: "name=Station,lat=Breite,…". A heading may hold commas and equals signs itself."""
    found = list(_FIELD.finditer(text))
    if not found or found[0].start() > 0:
        raise argparse.ArgumentTypeError(f"field=column pairs, separated by commas; the fields are {', '.join(FIELDS)}")
    columns: dict[str, str] = {}
    for match, following in zip(found, [*found[1:], None], strict=True):
        column = " ".join(text[match.end() : following.start() if following else None].split())
        if not column:
            raise argparse.ArgumentTypeError(f"{match[1]}= names no column")
        if match[1] in columns:
            raise argparse.ArgumentTypeError(f"{match[1]}= twice")
        columns[match[1]] = column
    missing = [field for field in NEEDED if field not in columns]
    if missing:
        raise argparse.ArgumentTypeError(f"{', '.join(missing)} missing")
    return columns


def delimiter(text: str) -> str:
    """argparse type: one character, or the word tab."""
    text = "\t" if text in ("tab", "\\t") else text
    if len(text) != 1 or text in '"\r\n\x00' or text.isalnum():
        raise argparse.ArgumentTypeError("one character, like ; or the word tab")
    return text


def encoding(text: str) -> str:
    """argparse type: an encoding of texts that Python knows."""
    try:
        b"a".decode(codecs.lookup(text).name, "replace")  # refuses base64 and the like, which encode no texts
    except (LookupError, UnicodeError, ValueError):
        raise argparse.ArgumentTypeError("an encoding, like utf-8, cp1252 or utf-16") from None
    return text


def country(text: str) -> str:
    """argparse type: a country's code."""
    code = countries.alpha3(text)
    if code is None:
        raise argparse.ArgumentTypeError("a country's code of ISO 3166-1, like DE or DEU")
    return code


def places_of(columns: dict[str, str], heading: tuple[str, ...]) -> dict[str, int] | None:
    """Where each field's column is; None if one is missing. Headings are compared without case; of equal ones the first
    is meant, others are named by number."""
    by_name: dict[str, int] = {}
    for number, name in enumerate(heading):
        by_name.setdefault(name.casefold(), number)
    places: dict[str, int] = {}
    for field, column in columns.items():
        place = by_name.get(column.casefold())
        numbered = _NUMBERED.fullmatch(column)
        if place is None and numbered and int(numbered[1]) <= len(heading):
            place = int(numbered[1]) - 1
        if place is None:
            return None
        places[field] = place
    return places
