"""What a station's columns become in a tile, against the definition in words."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from geo.mvt import NUMBERS
from geo.station import Availability
from geo.station_layer import station_tags

few = st.integers(0, 3) | st.integers(0, 65_535)
Row = tuple[int, int, int, int, float]


@given(st.lists(st.tuples(few, few, few, few, st.floats(0, 1e6, width=32)), max_size=20))
@example([(0, 0, 0, 0, 0.0), (65_535, 65_535, 65_535, 65_535, 1e6)])
def test_tags_are_indices_of_numbers_rounded_down(rows: list[Row]) -> None:
    counts = np.array([row[:4] for row in rows], np.uint16).reshape(-1, 4)
    tags = station_tags(counts, np.array([row[4] for row in rows], np.float32))
    assert tags.shape == (len(rows), 7)
    for (unknown, free, busy, broken, kw), told in zip(rows, tags.tolist(), strict=True):
        status = next(
            (
                kind
                for kind, n in (
                    (Availability.FREE, free),
                    (Availability.BUSY, busy),
                    (Availability.OUT_OF_SERVICE, broken),
                )
                if n
            ),
            Availability.UNKNOWN,
        )
        shown = (int(status), free, busy, broken, unknown, free + busy + broken + unknown, kw)
        assert [NUMBERS[index] for index in told] == [max(n for n in NUMBERS if n <= value) for value in shown]
