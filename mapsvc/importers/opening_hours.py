"""Weekly opening hours: the part of OpenStreetMap's `opening_hours` syntax that registers use, and their tidy form.

A week is minutes from Monday 00:00. Times are local; what OSM writes as 22:00-02:00 goes past midnight. Only what is
read exactly becomes `Hours`: months, public holidays, comments, "dusk" and the like make the whole text unreadable,
because half of the hours would be a lie about the other half.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from geo.station import Hours, RegularHours

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")

_DAY = "(?:mo|tu|we|th|fr|sa|su)"
_PIECE = re.compile(
    rf"(?P<first>{_DAY})?(?:\s*-\s*(?P<last>{_DAY}))?:?\s*"
    r"(?:(?P<begin>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)|(?P<off>off|closed))?"
)
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::\d\d)?")

Span = tuple[int, int]  # begin and end, minutes of the week; the end may lie beyond WEEK_MIN


def parse_minutes(raw: str, limit_min: int = DAY_MIN) -> int | None:
    """ "7:30" or "07:30" or "07:30:00" as minutes of the day, at most `limit_min`; None when it is no time."""
    match = _TIME.fullmatch(raw.strip())
    if match is None or int(match[2]) > 59:
        return None
    minutes = 60 * int(match[1]) + int(match[2])
    return minutes if minutes <= limit_min else None


def span(day: int, begin_min: int, end_min: int) -> Span:
    """The span of a period on `day` (0 = Monday); an end at or before the begin is on the next day."""
    if end_min <= begin_min:
        end_min += DAY_MIN
    return day * DAY_MIN + begin_min, day * DAY_MIN + end_min


def week(spans: Iterable[Span]) -> Hours | None:
    """The tidy form: sorted, overlaps united, cut at midnight; the whole week is 24/7; nothing is None."""
    wrapped: list[Span] = []
    for begin, end in spans:
        wrapped.append((begin, min(end, WEEK_MIN)))
        if end > WEEK_MIN:
            wrapped.append((0, end - WEEK_MIN))
    united: list[Span] = []
    for begin, end in sorted(wrapped):
        if united and begin <= united[-1][1]:
            united[-1] = united[-1][0], max(end, united[-1][1])
        else:
            united.append((begin, end))
    if united == [(0, WEEK_MIN)]:
        return Hours(twentyfourseven=True)
    regular = [
        RegularHours(day + 1, _clock(max(begin, day * DAY_MIN) - day * DAY_MIN), _clock(end - day * DAY_MIN))
        for begin, stop in united
        for day in range(begin // DAY_MIN, (stop - 1) // DAY_MIN + 1)
        for end in (min(stop, (day + 1) * DAY_MIN),)
    ]
    return Hours(regular_hours=tuple(regular)) if regular else None


def open_minutes(hours: Hours) -> int:
    """Minutes a week that the regular hours are open."""
    if hours.twentyfourseven:
        return WEEK_MIN
    return sum(
        (parse_minutes(period.period_end) or 0) - (parse_minutes(period.period_begin) or 0)
        for period in hours.regular_hours
    )


def parse(text: str) -> Hours | None:
    """Hours that `text` says exactly, or None. Example: "Mo-Fr 08:00-12:00,14:00-18:30; Sa 09:00-12:00"."""
    text = " ".join(text.split()).casefold()
    if text == "24/7":
        return Hours(twentyfourseven=True)
    by_day: dict[int, list[Span]] = {}
    for rule in text.removesuffix(";").split(";"):
        spans = _rule(rule)
        if spans is None:
            return None
        by_day.update(spans)  # after ";" a rule replaces what was said of its days (OSM's normal rule)
    return week(period for periods in by_day.values() for period in periods)


def _rule(rule: str) -> dict[int, list[Span]] | None:
    """The spans of each day that one rule names; a comma adds days, times or whole selectors."""
    spans: dict[int, list[Span]] = {}
    days: list[int] = []
    waiting = False  # days were named whose times are still to come
    for piece in rule.split(","):
        match = _PIECE.fullmatch(piece.strip())
        if match is None or not piece.strip():
            return None
        if match["first"]:
            named = _day_range(match["first"], match["last"])
            days = [*days, *named] if waiting else named
            waiting = True
        elif match["last"]:
            return None
        if match["begin"] is None and match["off"] is None:
            continue
        for day in days or range(7):  # without days: every day
            periods = spans.setdefault(day, [])
            if match["begin"]:
                begin, end = parse_minutes(match["begin"]), parse_minutes(match["end"], 2 * DAY_MIN)
                if begin is None or end is None or begin == DAY_MIN or end > begin + DAY_MIN:
                    return None
                periods.append(span(day, begin, end))
        waiting = False
    return None if waiting else spans


def _day_range(first: str, last: str | None) -> list[int]:
    begin = _DAYS.index(first)
    count = 1 if last is None else (_DAYS.index(last) - begin) % 7 + 1
    return [(begin + k) % 7 for k in range(count)]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
