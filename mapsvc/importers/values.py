"""Single values out of loose data: text, numbers, instants. No I/O and no report: callers say what was amiss.

Each function returns the value, or None where there is none to be had, and the reasons to tell about.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from mapsvc.importers.report import Reason

TEXT_LIMIT = 512  # characters; OCPI's longest text (DisplayText, 2.2.1 §16.3)
FIRST_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)  # no charger was reported before
LAST_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)  # a stamp later than this blocks updates for ever

# C0 and C1 controls but for white space, lone surrogates (they cannot be encoded) and non-characters.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BLANKS = re.compile(r"[^\S\n]+")


def clean_text(raw: str, *, limit: int = TEXT_LIMIT, multiline: bool = False) -> tuple[str | None, list[Reason]]:
    """`raw` fit to be shown: no controls, no markup, single blanks, at most `limit` characters. Empty is None."""
    reasons = []
    text = _CONTROLS.sub("", raw)
    if text != raw:
        reasons.append(Reason.CONTROL_CHARACTERS)
    if "<" in text and (plain := _TAG.sub(" ", text)) != text:
        reasons.append(Reason.MARKUP)
        text = plain
    if multiline:
        text = "\n".join(_BLANKS.sub(" ", line).strip() for line in text.strip().splitlines())
    else:
        text = " ".join(text.split())
    if len(text) > limit:
        reasons.append(Reason.TEXT_CUT)
        text = text[:limit].rstrip()
    return text or None, reasons


_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def parse_number(raw: object) -> float | None:
    """A finite number from a JSON number or a decimal text (a comma will do as its point); a boolean is no number."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, str):
        stripped = raw.strip()
        if not _NUMBER.fullmatch(stripped):  # before float(), which also reads "nan", "infinity" and "1_000"
            return None
        raw = stripped.replace(",", ".")
    elif not isinstance(raw, int | float):
        return None
    try:
        value = float(raw)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return value if math.isfinite(value) else None


_BOOLEANS: dict[object, bool] = {
    **dict.fromkeys(("true", "1", "yes", "oui", "vrai", 1), True),
    **dict.fromkeys(("false", "0", "no", "non", "faux", 0), False),
}


def parse_boolean(raw: object) -> bool | None:
    """True or false, also as a word or as 1 and 0, in any case."""
    if isinstance(raw, str):
        raw = raw.strip().casefold()
    return _BOOLEANS.get(raw) if isinstance(raw, str | int | float) else None


def number_text(raw: int | float) -> str | None:
    """A number as the text it stands for (an id 17, a floor -1); None for one that no id or label is."""
    if isinstance(raw, bool) or not abs(raw) < 1e18:  # negated so that NaN fails too
        return None
    return str(int(raw)) if raw == int(raw) else repr(raw)


_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)? ?(?:([Zz])|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def parse_instant_ms(raw: object) -> tuple[int | None, list[Reason]]:
    """Milliseconds since 1970 of an RFC 3339 instant. Without zone it is UTC, as OCPI says (2.2.1 §16.2: "Z" optional).

    `+00:00` is forbidden there, but means the same and is no reason for a word; another offset is converted and told.
    """
    match = _INSTANT.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None:
        return None, [Reason.BAD_TIMESTAMP]
    year, month, day, hour, minute = (int(part) for part in match.group(1, 2, 3, 4, 5))
    second, fraction, sign = int(match[6] or 0), match[7] or "", match[9]
    offset_min = 0 if sign is None else (60 * int(match[10]) + int(match[11])) * (1 if sign == "+" else -1)
    try:
        # A leap second (RFC 3339 §5.6 allows :60) counts as the second before it.
        instant = datetime(year, month, day, hour, minute, min(second, 59) if second == 60 else second, tzinfo=UTC)
        instant -= timedelta(minutes=offset_min)
    except (ValueError, OverflowError):
        return None, [Reason.IMPOSSIBLE_TIMESTAMP]
    value_ms = int(instant.timestamp()) * 1000 + int((fraction + "000")[:3])
    if not FIRST_MS <= value_ms < LAST_MS:
        return None, [Reason.IMPOSSIBLE_TIMESTAMP]
    return value_ms, [Reason.TIMESTAMP_OFFSET] if offset_min else []


def parse_date_ms(raw: str) -> int | None:
    """The first millisecond, in UTC, of a date told as YYYY-MM-DD; an instant is read as `parse_instant_ms` does."""
    text = raw.strip()
    return parse_instant_ms(f"{text}T00:00:00Z" if len(text) == 10 else text)[0]
