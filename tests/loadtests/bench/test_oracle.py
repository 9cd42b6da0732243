"""The oracle: right answers pass, and every kind of wrong one is found. It was made to fail once for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import pytest

from loadtests.bench.oracle import EXTENT, Oracle, Wanted, tile_of
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.snapshot import FREE
from tests.loadtests.bench.little_world import LAT, LON, STATIONS, STEP_M, all_in_order, nearby, snapshot, summary

HERE = (LAT, LON)
Stations = list[dict[str, Any]]


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    return Oracle(snapshot(tmp_path))


def test_the_right_answer_passes(oracle: Oracle) -> None:
    oracle.check_nearby("ours", nearby(*all_in_order()), HERE)


def test_whether_a_place_is_open_is_not_compared(oracle: Oracle) -> None:
    told = all_in_order()
    told[0]["open_now"] = True
    oracle.check_nearby("ours", nearby(*told), HERE)


def test_the_radius_ends_an_answer(oracle: Oracle) -> None:
    oracle.check_nearby("ours", nearby(*all_in_order()[:3]), HERE, radius_m=2.5 * STEP_M)
    with pytest.raises(WrongAnswerError, match="2 stations instead of 3"):
        oracle.check_nearby("ours", nearby(*all_in_order()[:2]), HERE, radius_m=2.5 * STEP_M)


def drop_nearest(told: Stations) -> Stations:
    return told[1:]


def swap_two(told: Stations) -> Stations:
    return [told[1], told[0], *told[2:]]


def tell_one_twice(told: Stations) -> Stations:
    return [told[0], told[0], *told[2:]]


def count_wrongly(told: Stations) -> Stations:
    return [{**told[0], "evses": {**told[0]["evses"], "available": 2}}, *told[1:]]


def be_elsewhere(told: Stations) -> Stations:
    return [told[0], {**told[1], "distance_m": told[1]["distance_m"] + 1}, *told[2:]]


def be_renamed(told: Stations) -> Stations:
    return [{**told[0], "name": "Station"}, *told[1:]]


def invent_one(told: Stations) -> Stations:
    return [{**told[0], "id": "XX*ABC~99"}, *told[1:]]


@pytest.mark.parametrize(
    "spoil", [drop_nearest, swap_two, tell_one_twice, count_wrongly, be_elsewhere, be_renamed, invent_one]
)
def test_a_wrong_answer_is_found(oracle: Oracle, spoil: Callable[[Stations], Stations]) -> None:
    with pytest.raises(WrongAnswerError):
        oracle.check_nearby("ours", nearby(*spoil(all_in_order())), HERE)


def test_an_answer_that_is_no_answer_is_found(oracle: Oracle) -> None:
    for body in (b"", b"[]", b"oops"):
        with pytest.raises(WrongAnswerError):
            oracle.check_nearby("ours", body, HERE)


def test_a_peer_with_rounded_positions_may_swap_what_is_equally_far(oracle: Oracle) -> None:
    told = swap_two(all_in_order())
    oracle.check_nearby("a peer", nearby(*told), HERE, tolerance_m=STEP_M + 1)


def test_counts_and_power_follow_a_filter(oracle: Oracle) -> None:
    wanted = Wanted(connector="IEC_62196_T2_COMBO", min_power_kw=100)
    told = [station for k, station in enumerate(all_in_order()) if k % 2]
    oracle.check_nearby("ours", nearby(*told), HERE, wanted)
    with pytest.raises(WrongAnswerError, match="excludes"):
        oracle.check_nearby("ours", nearby(all_in_order()[0], *told), HERE, wanted)


def test_nothing_fits_a_connector_that_nobody_has(oracle: Oracle) -> None:
    oracle.check_nearby("ours", nearby(), HERE, Wanted(connector="CHAOJI"))


def test_a_filter_is_a_query() -> None:
    assert Wanted("CHAOJI", 49.5, 2).query == "&connector=CHAOJI&min_power_kw=49.5&available=2"
    assert Wanted().query == ""


# -- tiles ------------------------------------------------------------------------------------------------------------------


def tile_body(oracle: Oracle, tile: tuple[int, int, int], **changed: int) -> bytes:
    names = ("status", "free", "busy", "out_of_service", "unknown", "total", "kw")
    px, py = oracle._pixels(tile)
    features = [
        {
            "id": int(oracle.snapshot.num[row]),
            "geometry": f"POINT({round(px[row])} {round(py[row])})",
            "properties": {**dict(zip(names, oracle.tile_columns()[row].tolist(), strict=True)), **changed},
        }
        for row in oracle.rows_in(tile)
    ]
    layer = {"name": "stations", "features": features}
    return bytes(mapbox_vector_tile.encode(layer, default_options={"extents": EXTENT, "y_coord_down": True}))


def test_a_tile_of_the_right_stations_passes_and_others_are_found(oracle: Oracle) -> None:
    tile, count = oracle.tiles(9)[0]
    assert tile == tile_of(LAT, LON, 9)
    assert oracle.check_station_tile("ours", tile_body(oracle, tile), tile) == count == STATIONS
    with pytest.raises(WrongAnswerError, match="busy is 7"):
        oracle.check_station_tile("ours", tile_body(oracle, tile, busy=7), tile)
    with pytest.raises(WrongAnswerError, match="lacks 8 stations"):
        oracle.check_station_tile("ours", b"", tile)
    beside = (9, tile[1] + 1, tile[2])
    with pytest.raises(WrongAnswerError, match="does not stand there"):
        oracle.check_station_tile("ours", tile_body(oracle, tile), beside)
    with pytest.raises(WrongAnswerError, match="not a vector tile"):
        oracle.check_station_tile("ours", b"\x1a\xff", tile)


def test_sums_of_cells_are_compared_whatever_their_order(oracle: Oracle) -> None:
    expected = oracle.aggregates(3)[tile_of(LAT, LON, 3)]
    assert sum(cells * sums[0] for sums, cells in expected.items()) == STATIONS
    names = ("count", "free", "busy", "out_of_service", "unknown")
    features = [
        {"geometry": "POINT(1 1)", "properties": dict(zip(names, sums, strict=True))} for sums in expected.elements()
    ]
    body = bytes(mapbox_vector_tile.encode({"name": "aggregates", "features": features}))
    tile = tile_of(LAT, LON, 3)
    assert oracle.check_aggregate_tile("ours", body, tile, expected) == expected.total()
    assert oracle.check_clusters("a peer", [body, b""]) == expected.total()
    with pytest.raises(WrongAnswerError, match="too many"):
        oracle.check_aggregate_tile("ours", body, tile, Counter({(1, 1, 1, 1, 1): 1}))
    with pytest.raises(WrongAnswerError, match="all tiles together"):
        oracle.check_clusters("a peer", [b""])


def test_a_summary_is_read_back_from_the_file(oracle: Oracle) -> None:
    assert oracle.summary(3) == summary(3)
    assert oracle.filtered(Wanted(available=1))[1][:, FREE].tolist() == [1] * STATIONS
