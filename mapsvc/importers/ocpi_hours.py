"""OCPI Hours (2.2.1 §8.4.14), RegularHours (§8.4.21), ExceptionalPeriod (§8.4.11) to `geo.station.Hours`."""

from __future__ import annotations

from geo.station import ExceptionalPeriod, Hours
from mapsvc.importers import opening_hours
from mapsvc.importers.item import DROPPED, KEPT, Item, Need, shown
from mapsvc.importers.report import Reason

ALLOWED_TIME = 'a local time like "07:30"'


def read_hours(item: Item) -> Hours | None:
    """The hours, or None where they are not told or cannot be read exactly.

    One unreadable weekly period spoils them all: without it the station would seem closed then. An unreadable
    exception is only left out.
    """
    always = item.boolean("twentyfourseven")
    periods = item.children("regular_hours")
    spans = [_span(period) for period in periods]
    openings = _exceptions(item, "exceptional_openings")
    closings = _exceptions(item, "exceptional_closings")
    if always:
        if periods and opening_hours.week(span for span in spans if span) != Hours(twentyfourseven=True):
            item.fault(
                "regular_hours",
                Reason.CONTRADICTORY_HOURS,
                DROPPED,
                "absent when twentyfourseven is true",
                "twentyfourseven is true",
            )
        return Hours(True, (), openings, closings)
    regular = opening_hours.week(span for span in spans if span)
    if regular is None or None in spans:
        if periods:
            item.remark("regular_hours", Reason.UNREADABLE_HOURS, DROPPED)
        elif openings:  # open on those occasions only
            return Hours(False, (), openings, closings)
        elif always is False:  # "needs to contain at least one": or it would never be open
            item.fault("regular_hours", Reason.CONTRADICTORY_HOURS, DROPPED, "at least one period", "no periods")
        return None
    return Hours(regular.twentyfourseven, regular.regular_hours, openings, closings)


def _span(item: Item) -> opening_hours.Span | None:
    weekday = item.integer("weekday", 1, 7, Need.REQUIRED)
    begin_min = _minutes(item, "period_begin")
    end_min = _minutes(item, "period_end")
    if weekday is None or begin_min is None or end_min is None:
        return None
    if begin_min == opening_hours.DAY_MIN:
        item.fault("period_begin", Reason.UNREADABLE_HOURS, DROPPED, ALLOWED_TIME, "24:00")
        return None
    if 0 < end_min <= begin_min:  # 00:00 as an end is midnight to everyone
        item.fault("period_end", Reason.HOURS_PAST_MIDNIGHT, KEPT, "later than period_begin", _told(item))
    return opening_hours.span(weekday - 1, begin_min, end_min)


def _minutes(item: Item, name: str) -> int | None:
    raw = item.get(name)
    minutes = opening_hours.parse_minutes(raw) if isinstance(raw, str) else None
    if minutes is None:
        item.fault(name, Reason.UNREADABLE_HOURS, DROPPED, ALLOWED_TIME, shown(raw))
    return minutes


def _told(item: Item) -> str:
    return f"{shown(item.get('period_begin'))} to {shown(item.get('period_end'))}"


def _exceptions(item: Item, name: str) -> tuple[ExceptionalPeriod, ...]:
    found = []
    for period in item.children(name):
        begin_ms = period.instant_ms("period_begin", Need.REQUIRED)
        end_ms = period.instant_ms("period_end", Need.REQUIRED)
        if begin_ms is None or end_ms is None:
            continue  # the missing or unreadable instant is noted
        if begin_ms < end_ms:
            found.append(ExceptionalPeriod(begin_ms, end_ms))
        else:
            period.fault("period_end", Reason.CONTRADICTORY_HOURS, DROPPED, "later than period_begin", _told(period))
    return tuple(found)
