"""Opening hours as Americans write them: "24 hours daily", "Mon 6:00am - 11:59pm; Tue …", "8am-6pm M-F".

Like `opening_hours`, only what is read exactly becomes `Hours`; everything else stays text.
"""

from __future__ import annotations

import re

from geo.station import Hours
from mapsvc.importers.opening_hours import DAY_MIN, Span, span, week

_DAYS = {
    word: day
    for day, words in enumerate(
        ("m mo mon monday", "tu tue tues tuesday", "w we wed wednesday", "th thu thur thurs thursday",
         "f fr fri friday", "sa sat saturday", "su sun sunday")
    )
    for word in words.split()
}  # fmt: skip
_DAY = "(?:" + "|".join(sorted(_DAYS, key=len, reverse=True)) + r")\b"
_DAY_LIST = rf"(?P<days{{0}}>daily|everyday|every day|7 days a week|{_DAY}\.?(?:\s*(?:-|–|to|,|&|and)\s*{_DAY}\.?)*)"
_CLOCK = r"(?P<{0}>\d{{1,2}}(?::\d\d)?\s*(?:am|pm|a\.m\.|p\.m\.)|noon|midnight)"
_TIMES = rf"(?:(?P<all>24 hours)|{_CLOCK.format('begin')}\s*(?:-|–|to)\s*{_CLOCK.format('end')}|(?P<off>closed))"
_PIECE = re.compile(rf"(?:{_DAY_LIST.format(1)}[\s:,]*)?{_TIMES}(?:[\s,]*{_DAY_LIST.format(2)})?")
_JOIN = re.compile(rf"({_DAY})\.?\s*(-|–|to)?")
_AT = re.compile(r"(\d{1,2})(?::(\d\d))?\s*([ap])")
_NOT_A_REMARK = re.compile(  # what may change when it is open; anything else says whom or how ("; for guests only")
    r"\d|hour|open|clos|dawn|dusk|sun|night|day|week|month|time|season|winter|spring|summer|fall|autumn|holiday|except|"
    r"\b(?:mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
)


def parse(text: str) -> Hours | None:
    """The hours that `text` says exactly, or None."""
    return read(text)[0]


def read(text: str) -> tuple[Hours | None, bool]:
    """The hours, and whether something is said beside them: "24 hours daily; guest use only"."""
    said = " ".join(text.split()).casefold().rstrip(" .;")
    if said == "24/7":
        return Hours(twentyfourseven=True), False
    spans: list[Span] = []
    remark = False
    for piece in re.split(r";|\.\s", said):
        found = _piece(piece.strip())
        if found is None:
            found = _list(piece)
        if found is not None:
            spans += found
        elif spans and not _NOT_A_REMARK.search(piece):
            remark = True
        else:
            return None, False
    return week(spans), remark


def _list(pieces: str) -> list[Span] | None:
    """ "8am-5pm M-F, 24 hours Sat-Sun": commas between rules, as they are between days."""
    found = [_piece(piece.strip()) for piece in pieces.split(",")]
    return None if None in found else [span for spans in found if spans for span in spans]


def _piece(piece: str) -> list[Span] | None:
    match = _PIECE.fullmatch(piece)
    if match is None or (match["days1"] is None) == (match["days2"] is None):
        return None  # no days: every day, or working days? both: which?
    days = _days(match["days1"] or match["days2"])
    if days is None:
        return None
    if match["off"]:
        return []
    if match["all"]:
        return [(day * DAY_MIN, (day + 1) * DAY_MIN) for day in days]
    begin, end = _minutes(match["begin"]), _minutes(match["end"])
    if begin is None or end is None:
        return None
    return [span(day, begin, end) for day in days]


def _days(text: str) -> list[int] | None:
    if text[0] == "d" or text[0] == "e" or text[0] == "7":
        return list(range(7))
    days: list[int] = []
    ranged = False
    for word, dash in _JOIN.findall(text):
        day = _DAYS[word]
        if ranged:
            days += [(days[-1] + k) % 7 for k in range(1, (day - days[-1]) % 7 + 1)]
        else:
            days.append(day)
        ranged = bool(dash)
    return None if ranged else days


def _minutes(text: str) -> int | None:
    """ "12am" is 0, "12pm" is noon."""
    if text in ("noon", "midnight"):
        return 720 if text == "noon" else 0
    match = _AT.match(text)
    if match is None or not 1 <= int(match[1]) <= 12 or int(match[2] or 0) > 59:
        return None
    return int(match[1]) % 12 * 60 + int(match[2] or 0) + (720 if match[3] == "p" else 0)
