"""What a station's columns become in a tile, against the definition in words."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from geo.columns import StationTable
from geo.grid import GRID_MAX_ZOOM, grid_position
from geo.mvt import NUMBERS, STATIONS
from geo.station import Availability
from geo.station_layer import encode_stations, station_tags
from geo.tilemath import pixels
from tests.geo.points import encode_points

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


Place = tuple[float, float, int, Row]
places = st.tuples(
    st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 300) | st.integers(0, (1 << 53) - 1),
    st.tuples(few, few, few, few, st.floats(0, 1500, width=32)),
)  # fmt: skip


@given(st.lists(places, max_size=12), st.integers(0, GRID_MAX_ZOOM), st.randoms(use_true_random=False))
@example([(-85.0, 179.9, (1 << 53) - 1, (65_535, 65_535, 65_535, 65_535, 1e9))], 0, Random(1))
def test_a_layer_is_what_the_definition_says(there: list[Place], z: int, random: Random) -> None:
    """Byte for byte, of some of the stations, in any order; with counts of their own and with others."""
    n = len(there)
    table = StationTable(n + 3)
    lat, lon = np.array([place[0] for place in there]), np.array([place[1] for place in there])
    table.grid_x[:n], table.grid_y[:n] = grid_position(lat, lon)
    table.num[:n] = [place[2] for place in there]
    table.counts[:n] = np.array([place[3][:4] for place in there], np.uint16).reshape(-1, 4)
    table.max_kw[:n] = [place[3][4] for place in there]
    rows = np.array(random.sample(range(n), random.randint(0, n)), np.int32)
    at = pixels(lat[rows], lon[rows], z)

    wanted = encode_points(
        STATIONS, table.num[rows], at.px, at.py, station_tags(table.counts[rows], table.max_kw[rows])
    )
    found = encode_stations(table, z, rows)
    assert found.data == wanted.data and found.tag_offset.tolist() == wanted.tag_offset.tolist()

    counts, max_kw = table.counts[rows] // 2, table.max_kw[rows] / np.float32(2)
    tags = station_tags(counts, max_kw)
    assert (
        encode_stations(table, z, rows, counts, max_kw).data
        == encode_points(STATIONS, table.num[rows], at.px, at.py, tags).data
    )
