"""Instants as answers tell them."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

_EPOCH_DAY = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=4096)
def _date(days: int) -> str:
    return date.fromordinal(_EPOCH_DAY + days).isoformat()


def instant(ms: int | None) -> str | None:
    """RFC 3339, UTC, milliseconds only where there are any."""
    if ms is None:
        return None
    seconds, thousandths = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{_date(days)}T{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{thousandths:03d}Z" if thousandths else f"{text}Z"
