"""Source time on ours."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from mapsvc.replay.clock import SourceClock, played_ttl_s


@given(st.floats(0.01, 1e5), st.lists(st.integers(0, 10**10), min_size=2))
def test_the_map_begins_now_runs_at_speed_and_never_goes_back(speed: float, later: list[int]) -> None:
    clock = SourceClock(1_541_000_000_000, speed, 1_800_000_000_000)
    mapped = [clock.mapped_ms(1_541_000_000_000 + ms) for ms in sorted(later)]
    assert mapped == sorted(mapped)
    assert clock.mapped_ms(1_541_000_000_000) == 1_800_000_000_000
    for ms, at in zip(sorted(later), mapped, strict=True):
        assert abs((at - 1_800_000_000_000) * speed - ms) <= speed + ms * 1e-9


def test_a_step_waits_for_its_mapped_instant_on_the_databases_clock() -> None:
    ahead_ms = time.time_ns() // 1_000_000 + 3_600_000  # a database an hour ahead of us
    clock = SourceClock(0, 600.0, ahead_ms)
    assert -0.1 < clock.wait_s(0) <= 0.0
    assert 9.9 < clock.wait_s(6_000_000) <= 10.0


def test_the_ttl_is_divided_by_the_speed_down_to_what_a_heartbeat_takes() -> None:
    assert [played_ttl_s(speed) for speed in (0.5, 1, 7, 60, 180, 600, 1e5)] == [1800, 900, 129, 15, 5, 5, 5]
