"""Zones of positions, names that are none, and the spans of offsets against zoneinfo itself."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from geo.hours import compile_schedule
from geo.station import Hours, RegularHours
from geo.zones import find_offsets, zone_for, zone_of


def epoch_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_every_zone_agrees_with_zoneinfo_at_random_instants() -> None:
    """The spans of offsets are probed in steps; a change that the steps missed would show here (also since 1970)."""
    rng = random.Random(1)
    for zone in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        offsets = find_offsets(zone)
        assert offsets is not None, zone
        for k in range(100):
            s = rng.randrange(epoch_s("2024-01-01"), epoch_s("2029-01-01")) if k else rng.randrange(2**31)
            there = datetime.fromtimestamp(s, ZoneInfo(zone)).utcoffset()
            begin, end, offset = offsets.span(s)
            assert there is not None
            assert begin <= s < end
            assert offset == there.total_seconds(), (zone, s)


def test_zone_of_knows_land_and_sea_and_edges() -> None:
    assert zone_of(52.5, 13.4) == "Europe/Berlin"
    assert zone_of(40.4, -3.7) == "Europe/Madrid"
    assert (zone_of(40.0, -30.0) or "").startswith("Etc/")
    for lat, lon in [(0.0, 0.0), (90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (0.0, -180.0), (-16.8, 179.999)]:
        assert zone_of(lat, lon) is not None
    assert zone_of(0.0, 181.0) is None
    assert zone_of(float("nan"), 0.0) is None


@pytest.mark.parametrize(
    "told",
    [
        None, "", "Germany", "The Netherlands/Amsterdam", "Europe", "../../etc/passwd", "/etc/localtime", "localtime",
        "posix/Europe/Berlin", "right/UTC", "zone.tab", "a\0b", "Europe/Berlin\n", "x" * 5000, "Ελλάδα", "\ud800",
    ],
)  # fmt: skip
def test_a_zone_that_is_none_gives_way_to_the_derived_one(told: str | None) -> None:
    assert zone_for(told, 52.5, 13.4) == "Europe/Berlin"
    assert zone_for("Asia/Tokyo", 52.5, 13.4) == "Asia/Tokyo"
    assert compile_schedule(Hours(regular_hours=(RegularHours(1, "00:00", "12:00"),)), told) is None
