"""Finds the locations in a file that an OCPI peer sent: a list, an envelope around one, or a single location.

Envelopes seen: OCPI's `{data, status_code, …}` (2.2.1 §4.1.7), `{next, items}`, one within the other. The list is read
item by item, which gives each its line, and lets the others live when one is nested too deep to be read.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from mapsvc.importers.item import KEPT, SKIPPED
from mapsvc.importers.report import Reason, Report, UnreadableFile

ENVELOPES = ("data", "items", "locations", "results")  # keys under which a list of locations was seen
MAX_ENVELOPES = 3  # one within the other
CLIENT_ERROR = 2000  # OCPI status codes from here on are errors (§5)

# strict=False: raw line breaks inside strings are the least of a feed's sins.
_DECODER = json.JSONDecoder(strict=False)
_BLANK = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(r"[-+.\w]+")
_UNREADABLE: Final = object()


class Found(NamedTuple):
    pointer: str
    line: int
    value: object


def locations(raw: bytes, report: Report) -> list[Found]:
    """What stands where locations should stand. Raises `UnreadableFile` when there is no such place."""
    text = _decode(raw, report)
    if not text.strip():
        raise UnreadableFile("the file is empty")
    walk = _Walk(text)
    try:
        found, end = walk.document(walk.skip_blanks(0), "", 0)
        if walk.skip_blanks(end) != len(text):
            raise json.JSONDecodeError("more text after the end", text, end)
    except json.JSONDecodeError as error:
        raise UnreadableFile(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (IndexError, StopIteration) as error:
        raise UnreadableFile("not JSON: the file ends too early") from error
    status = walk.envelope.get("status_code")
    if not found and isinstance(status, int) and status >= CLIENT_ERROR:
        raise UnreadableFile(f"an OCPI error, status_code {status}: {walk.envelope.get('status_message')}")
    if found is None:
        raise UnreadableFile("no list of locations found")
    if walk.envelope.get("next"):
        report.add("/next", None, "next", Reason.MORE_PAGES, KEPT)
    for item in found:
        if item.value is _UNREADABLE:
            report.add(item.pointer, None, "", Reason.NESTED_TOO_DEEP, SKIPPED, line=item.line)
    return [item for item in found if item.value is not _UNREADABLE]


def is_location(value: object) -> bool:
    """Whether an object that stands alone is a location, not an EVSE or a fragment of one."""
    return isinstance(value, dict) and "id" in value and not {"coordinates", "evses", "position"}.isdisjoint(value)


def _decode(raw: bytes, report: Report) -> str:
    encoding = json.detect_encoding(raw)  # by BOM or by the zeros among the first bytes (RFC 4627 §3)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        report.add("", None, "", Reason.ENCODING, KEPT, f"at byte {error.start}")
        return raw.decode(encoding, "replace")


class _Walk:
    """Steps through the outer levels of the document and leaves everything inside the list to the json module."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.envelope: dict[str, object] = {}
        self._line, self._line_at = 1, 0

    def document(self, at: int, pointer: str, depth: int) -> tuple[list[Found] | None, int]:
        """The locations in the value that begins at `at` (None: none there), and where the value ends."""
        if self.text[at] == "[":
            return self._list(at, pointer)
        if self.text[at] == "{":
            return self._object(at, pointer, depth)
        return None, self._value(at)[1]

    def skip_blanks(self, at: int) -> int:
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def _list(self, at: int, pointer: str) -> tuple[list[Found], int]:
        found: list[Found] = []
        at = self.skip_blanks(at + 1)
        if self.text[at] == "]":
            return found, at + 1
        while True:
            line = self._line_of(at)
            value, at = self._value(at)
            found.append(Found(f"{pointer}/{len(found)}", line, value))
            at, more = self._separator(at, "]")
            if not more:
                return found, at

    def _object(self, at: int, pointer: str, depth: int) -> tuple[list[Found] | None, int]:
        found: list[Found] | None = None
        begin = at
        members: dict[str, object] = {}
        at = self.skip_blanks(at + 1)
        more = self.text[at] != "}"
        at += not more
        while more:
            key, at = self._key(at)
            if found is None and depth < MAX_ENVELOPES and key in ENVELOPES and self.text[at] in "[{":
                found, at = self.document(at, f"{pointer}/{key}", depth + 1)
            else:
                members[key], at = self._value(at)
            at, more = self._separator(at, "}")
        self.envelope = members | self.envelope
        if found is None and is_location(members):
            found = [Found(pointer, self._line_of(begin), members)]
        return found, at

    def _key(self, at: int) -> tuple[str, int]:
        if self.text[at] != '"':
            raise json.JSONDecodeError("a key should stand here", self.text, at)
        key, at = _DECODER.raw_decode(self.text, at)
        at = self.skip_blanks(at)
        if self.text[at] != ":":
            raise json.JSONDecodeError("a colon should stand here", self.text, at)
        return key, self.skip_blanks(at + 1)

    def _separator(self, at: int, closing: str) -> tuple[int, bool]:
        """Where to go on after a value, and whether another one follows."""
        at = self.skip_blanks(at)
        if self.text[at] == closing:
            return at + 1, False
        if self.text[at] != ",":
            raise json.JSONDecodeError(f"a comma or {closing} should stand here", self.text, at)
        return self.skip_blanks(at + 1), True

    def _value(self, at: int) -> tuple[object, int]:
        try:
            value, end = _DECODER.raw_decode(self.text, at)
            return value, end
        except json.JSONDecodeError:
            raise
        except (RecursionError, ValueError):  # ValueError: a number of more digits than Python cares to read
            return _UNREADABLE, self._end_of(at)

    def _end_of(self, at: int) -> int:
        """The end of a value, by counting brackets: for one that the json module cannot read."""
        if scalar := _SCALAR.match(self.text, at):
            return scalar.end()
        depth = 0
        for token in _TOKEN.finditer(self.text, at):
            depth += (token[0] in "[{") - (token[0] in "]}")
            if depth <= 0:
                return token.end()
        raise json.JSONDecodeError("the file ends within a value", self.text, at)

    def _line_of(self, at: int) -> int:
        self._line += self.text.count("\n", self._line_at, max(at, self._line_at))
        self._line_at = max(at, self._line_at)
        return self._line
