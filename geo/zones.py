"""Time zones: which zone a position lies in, offline, and a zone's UTC offsets as spans of time.

zoneinfo reads the system's database, else the `tzdata` package; without either every zone would be unknown.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import tzfpy

_BLOCK_S = 366 * 86_400  # offsets of a zone are looked up a year at a time and kept
_PROBE_S = 6 * 3_600  # no zone changes its offset twice within six hours


def zone_for(told: str | None, lat: float, lon: float) -> str | None:
    """The zone of a station's hours: as told if that is an IANA zone (feeds also say "Germany"), else derived."""
    return told if told is not None and find_offsets(told) is not None else zone_of(lat, lon)


def zone_of(lat: float, lon: float) -> str | None:
    """IANA zone of a position, offline; at sea a nautical one (Etc/GMT-3); None out of range.

    The first call loads the polygons: 0.06 s and 34 MB once per process; then 0.6 µs each.
    """
    name = tzfpy.get_tz(lon, lat)
    return name if name and find_offsets(name) is not None else None


_ZONE_NAME = re.compile(r"(?!posix/|right/|posixrules$|localtime$|Factory$)[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
# zoneinfo reads files by name: those excluded are the host's own setting, or count leap seconds


@lru_cache(maxsize=1024)
def find_offsets(name: str) -> ZoneOffsets | None:
    """None: not an IANA zone that this machine knows."""
    if not _ZONE_NAME.fullmatch(name):
        return None
    try:
        return ZoneOffsets(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # unknown; not a zone file; "Europe" is a directory
        return None


class ZoneOffsets:
    """A zone's UTC offsets as spans of time, because zoneinfo does not tell when the next change is."""

    __slots__ = ("_blocks", "_last", "_zone")

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._last = (0, 0, 0)  # the span asked last: neighbouring questions nearly always share it
        self._blocks: dict[int, list[tuple[int, int, int]]] = {}

    def span(self, s: int) -> tuple[int, int, int]:
        """(begin_s, end_s, offset_s) with begin_s <= s < end_s and one offset throughout."""
        last = self._last
        if not last[0] <= s < last[1]:
            block = s // _BLOCK_S
            spans = self._blocks.get(block)
            if spans is None:
                spans = self._blocks[block] = self._probe(block * _BLOCK_S, (block + 1) * _BLOCK_S)
            self._last = last = spans[bisect_right(spans, s, key=_begin) - 1]
        return last

    def _probe(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        spans = []
        offset = self._offset(begin)
        for probe in range(begin + _PROBE_S, end + 1, _PROBE_S):
            if (changed := self._offset(probe)) != offset:
                low, high = probe - _PROBE_S, probe
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (low, middle) if self._offset(middle) == changed else (middle, high)
                spans.append((begin, high, offset))
                begin, offset = high, changed
        spans.append((begin, end, offset))
        return spans

    def _offset(self, s: int) -> int:
        delta = datetime.fromtimestamp(s, self._zone).utcoffset()
        assert delta is not None
        return delta.days * 86_400 + delta.seconds


def _begin(span: tuple[int, int, int]) -> int:
    return span[0]
