"""One JSON object being read: typed access to its members, every fault noted with its JSON pointer.

Tolerant reading mends what is unmistakable, leaves out the rest and reports both. Strict reading (a `PUT` by the
operator himself) makes each of those faults an error that says what is allowed. The code that reads is the same.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Self

from mapsvc.importers.report import LocationError, Outcome, Reason, Report
from mapsvc.importers.values import TEXT_LIMIT, clean_text, number_text, parse_boolean, parse_instant_ms, parse_number
from mapsvc.importers.vocabulary import Vocabulary

ID_LIMIT = 36  # OCPI's CiString(36)
ID_MAX = 255  # beyond this an id is refused: keys are indexed
DROPPED: Final = Outcome.DROPPED
KEPT: Final = Outcome.KEPT
SKIPPED: Final = Outcome.SKIPPED


class Need(IntEnum):
    """How badly a member is needed."""

    OPTIONAL = 0  # absent is fine
    EXPECTED = 1  # OCPI requires it, we can do without: absent is reported
    REQUIRED = 2  # strict reading refuses the document without it


class Faults:
    """Where the faults of one station go: into the report, or (strict) into a list of errors."""

    def __init__(self, report: Report, *, strict: bool = False, line: int | None = None) -> None:
        self.report = report
        self.strict = strict
        self.line = line
        self.id: str | None = None  # of the station, as soon as it is known
        self.errors: list[tuple[str, str]] = []
        self._told_once: set[Reason] = set()

    def fault(
        self, pointer: str, reason: Reason, outcome: Outcome, allowed: str, detail: str = "", *, once: bool = False
    ) -> None:
        """`once`: one row a station is enough."""
        if self.strict:
            self.errors.append((pointer, allowed))
        elif not once or reason not in self._told_once:
            self._told_once.add(reason)
            self.remark(pointer, reason, outcome, detail)

    def remark(self, pointer: str, reason: Reason, outcome: Outcome, detail: str = "") -> None:
        """A suspicion or a loss of no consequence: reported, never an error."""
        self.report.add(pointer, self.id, _field(pointer), reason, outcome, detail, self.line)

    def raise_errors(self) -> None:
        if self.errors:
            raise LocationError(self.errors)


class Item:
    """An object of the document at `pointer`."""

    __slots__ = ("_told", "faults", "members", "pointer")

    def __init__(self, faults: Faults, pointer: str, members: dict[str, object]) -> None:
        self.faults = faults
        self.pointer = pointer
        self.members = members
        self._told: dict[str, str] = {}  # the document's own key of each member that we know by another name

    @classmethod
    def of(cls, faults: Faults, pointer: str, value: object) -> Self | None:
        """`value` as an item; None, and a fault, when it is no object."""
        if isinstance(value, dict):
            return cls(faults, pointer, value)
        faults.fault(pointer, Reason.NOT_AN_OBJECT, SKIPPED, "an object", shown(value))
        return None

    def at(self, name: str) -> str:
        """The pointer of a member, by the key that the document itself uses."""
        return f"{self.pointer}/{self._told.get(name, name)}"

    def fault(self, name: str, reason: Reason, outcome: Outcome, allowed: str, detail: str = "") -> None:
        self.faults.fault(self.at(name), reason, outcome, allowed, detail)

    def remark(self, name: str, reason: Reason, outcome: Outcome, detail: str = "") -> None:
        self.faults.remark(self.at(name), reason, outcome, detail)

    def get(self, name: str) -> object:
        return self.members.get(name)

    def missing(self, name: str, need: Need, allowed: str, outcome: Outcome = KEPT) -> None:
        """Notes an absent member if it is needed."""
        if need is Need.REQUIRED:
            self.fault(name, Reason.MISSING, outcome, f"required: {allowed}")
        elif need is Need.EXPECTED:
            self.remark(name, Reason.MISSING, outcome)

    def text(
        self, name: str, need: Need = Need.OPTIONAL, *, limit: int = TEXT_LIMIT, multiline: bool = False
    ) -> str | None:
        allowed = f"text of at most {limit} characters"
        raw = self.get(name)
        if isinstance(raw, int | float) and (told := number_text(raw)) is not None:
            self.fault(name, Reason.NUMBER_AS_TEXT, KEPT, allowed, told)
            return told
        if raw is not None and not isinstance(raw, str):
            self.fault(name, Reason.WRONG_TYPE, DROPPED, allowed, shown(raw))
            return None
        text, reasons = clean_text(raw or "", limit=limit, multiline=multiline)
        for reason in reasons:
            self.fault(name, reason, KEPT, f"{allowed}, without control characters or markup", shown(raw))
        if text is None:
            self.missing(name, need, allowed)
        return text

    def identifier(self, name: str) -> str | None:
        """An id (CiString(36)). Absent is for the caller to note: what it means differs."""
        text = self.text(name, limit=1 << 16)
        if text is None or len(text) <= ID_LIMIT:
            return text
        usable = len(text) <= ID_MAX
        self.fault(name, Reason.ID_TOO_LONG, KEPT if usable else DROPPED, f"at most {ID_LIMIT} characters", text)
        return text if usable else None

    def number(self, name: str, low: float, high: float, need: Need = Need.OPTIONAL) -> float | None:
        """A number from `low` to `high`; one outside is left out."""
        allowed = f"a number from {low:g} to {high:g}"
        raw = self.get(name)
        if raw is None:
            self.missing(name, need, allowed)
            return None
        value = parse_number(raw)
        if value is None:
            self.fault(name, Reason.WRONG_TYPE, DROPPED, allowed, shown(raw))
            return None
        if isinstance(raw, str):
            self.fault(name, Reason.TEXT_AS_NUMBER, KEPT, allowed, raw)
        if not low <= value <= high:
            self.fault(name, Reason.IMPLAUSIBLE_NUMBER, DROPPED, allowed, shown(raw))
            return None
        return value

    def integer(self, name: str, low: int, high: int, need: Need = Need.OPTIONAL) -> int | None:
        value = self.number(name, low, high, need)
        if value is None:
            return None
        if value != int(value):
            self.fault(name, Reason.NOT_AN_INTEGER, KEPT, f"an integer from {low} to {high}", repr(value))
        return round(value)

    def boolean(self, name: str) -> bool | None:
        raw = self.get(name)
        value = parse_boolean(raw)
        if raw is not None and not isinstance(raw, bool):
            readable = value is not None
            reason = Reason.TEXT_AS_BOOLEAN if readable else Reason.WRONG_TYPE
            self.fault(name, reason, KEPT if readable else DROPPED, "true or false", shown(raw))
        return value

    def instant_ms(self, name: str, need: Need = Need.OPTIONAL) -> int | None:
        allowed = 'an RFC 3339 instant in UTC from 2000 to 2100, like "2025-07-01T12:30:00Z"'
        raw = self.get(name)
        if raw is None:
            self.missing(name, need, allowed)
            return None
        value_ms, reasons = parse_instant_ms(raw)
        for reason in reasons:
            self.fault(name, reason, DROPPED if value_ms is None else KEPT, allowed, shown(raw))
        return value_ms

    def word(self, name: str, vocabulary: Vocabulary, need: Need = Need.OPTIONAL) -> str | None:
        raw = self.get(name)
        if raw is None or raw == "":
            self.missing(name, need, vocabulary.allowed)
            return None
        return self._word_at(self.at(name), raw, vocabulary)

    def words(self, name: str, vocabulary: Vocabulary) -> tuple[str, ...]:
        """A list of enum values; repeated ones once."""
        found = [self._word_at(pointer, raw, vocabulary) for pointer, raw in self._list(name, "a list")]
        return tuple(dict.fromkeys(word for word in found if word))

    def _word_at(self, pointer: str, raw: object, vocabulary: Vocabulary) -> str | None:
        if isinstance(raw, str) and raw in vocabulary.values:
            return raw
        word, known = vocabulary.find(raw) if isinstance(raw, str) else (None, False)
        if word is None and not isinstance(raw, str):
            self.faults.fault(pointer, Reason.WRONG_TYPE, DROPPED, vocabulary.allowed, shown(raw))
        else:
            reason = Reason.SPELLING if known else Reason.UNKNOWN_VALUE
            self.faults.fault(pointer, reason, KEPT if word else DROPPED, vocabulary.allowed, shown(raw))
        return word

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of ids, as texts; repeated ones once. A lone text is a list of one (2.1.1 has `tariff_id`)."""
        found = []
        for pointer, raw in self._list(name, "a list of texts"):
            text = clean_text(raw, limit=ID_MAX)[0] if isinstance(raw, str) else None
            if text is None and isinstance(raw, int | float):
                text = number_text(raw)
            if text is None:
                self.faults.fault(pointer, Reason.WRONG_TYPE, DROPPED, "text", shown(raw))
            else:
                found.append(text)
        return tuple(dict.fromkeys(found))

    def child(self, name: str) -> Self | None:
        raw = self.get(name)
        if raw is None or isinstance(raw, dict):
            return None if raw is None else type(self)(self.faults, self.at(name), raw)
        self.fault(name, Reason.WRONG_TYPE, DROPPED, "an object", shown(raw))
        return None

    def children(self, name: str) -> list[Self]:
        """The objects of a list; what is no object is skipped and reported."""
        found = (self.of(self.faults, pointer, raw) for pointer, raw in self._list(name, "a list of objects"))
        return [item for item in found if item is not None]

    def _list(self, name: str, allowed: str) -> list[tuple[str, object]]:
        raw = self.get(name)
        pointer = self.at(name)
        if raw is None:
            return []
        if isinstance(raw, list):
            return [(f"{pointer}/{k}", value) for k, value in enumerate(raw) if value is not None]
        if isinstance(raw, dict | str):  # unmistakably a list of one; XML converters write such
            if name in self._told:  # an older version's singular key, like tariff_id
                return [(pointer, raw)]
            self.fault(name, Reason.WRONG_TYPE, KEPT, allowed, shown(raw))
            return [(pointer, raw)]
        self.fault(name, Reason.WRONG_TYPE, DROPPED, allowed, shown(raw))
        return []


def _field(pointer: str) -> str:
    """The last name in a pointer: of /evses/0/capabilities/2 it is capabilities."""
    return next((part for part in reversed(pointer.split("/")) if not part.isdigit()), "")


def shown(value: object) -> str:
    """A told value, short, for a report's detail; containers by their kind only (they may be huge)."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return value if isinstance(value, str) else repr(value)[:80]
