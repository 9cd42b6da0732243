"""Polylines against a reading and a writing of them in plain Python, and whatever else may come as text."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.polyline import PolylineError, decode, encode
from tests.geo.worlds import examples

VALID = "".join(map(chr, range(63, 127)))
Units = tuple[int, int]  # latitude, longitude


class Wrong(Exception):
    pass


def plain_decode(text: str, precision: int) -> list[Units]:
    """The algorithm as Google describes it, backwards; numbers of any size."""
    numbers: list[int] = []
    chunks: list[int] = []
    for character in text:
        if character not in VALID:
            raise Wrong
        chunks.append(VALID.index(character))
        if len(chunks) > 6:
            raise Wrong
        if chunks[-1] < 32:
            value = sum((chunk % 32) * 32**i for i, chunk in enumerate(chunks))
            numbers.append(-(value + 1) // 2 if value % 2 else value // 2)
            chunks = []
    if chunks or len(numbers) % 2 or not numbers:
        raise Wrong
    found: list[Units] = []
    lat = lon = 0
    for north, east in zip(numbers[::2], numbers[1::2], strict=True):
        lat, lon = lat + north, lon + east
        if abs(lat) > 90 * 10**precision or abs(lon) > 180 * 10**precision:
            raise Wrong
        found.append((lat, lon))
    return found


def plain_encode(places: list[Units]) -> str:
    text = ""
    for before, (lat, lon) in zip([(0, 0), *places], places, strict=False):
        for number in (lat - before[0], lon - before[1]):
            value = 2 * number if number >= 0 else -2 * number - 1
            while value >= 32:
                text += VALID[32 + value % 32]
                value //= 32
            text += VALID[value]
    return text


def units(precision: int) -> st.SearchStrategy[list[Units]]:
    """Far away and near, edges included."""
    one = 10**precision
    lat = st.integers(-90 * one, 90 * one) | st.sampled_from((-90 * one, 0, 90 * one)) | st.integers(-40, 40)
    lon = st.integers(-180 * one, 180 * one) | st.sampled_from((-180 * one, 0, 180 * one)) | st.integers(-40, 40)
    return st.lists(st.tuples(lat, lon), min_size=1, max_size=20)


precisions = st.sampled_from((5, 6))
lines = precisions.flatmap(lambda precision: st.tuples(st.just(precision), units(precision)))
damages = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(VALID) | st.sampled_from(">\x7f\n é\ud800𝄞")), max_size=2
)
DOCUMENTED = "_p~iF~ps|U_ulLnnqC_mqNvxq`@"


def columns(places: list[Units], precision: int) -> tuple[np.ndarray, np.ndarray]:
    lat, lon = (np.array(column) / 10**precision for column in zip(*places, strict=True))
    return lat, lon


def assert_like_the_plain_one(text: str, precision: int) -> None:
    """The same positions, to the last bit, or no polyline to both."""
    try:
        expected = plain_decode(text, precision)
    except Wrong:
        with pytest.raises(PolylineError):
            decode(text, precision)
        return
    assert np.array_equal(decode(text, precision), columns(expected, precision))


def test_the_documented_example() -> None:
    lat, lon = decode(DOCUMENTED, 5)
    assert (lat.tolist(), lon.tolist()) == ([38.5, 40.7, 43.252], [-120.2, -120.95, -126.453])
    assert encode(lat, lon, 5) == DOCUMENTED


@examples(150)
@given(line=lines)
def test_what_is_written_is_read(line: tuple[int, list[Units]]) -> None:
    precision, places = line
    text = encode(*columns(places, precision), precision)
    assert text == plain_encode(places)
    assert np.array_equal(decode(text, precision), columns(places, precision))


@examples(200)
@given(
    places=st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20), precision=precisions
)
def test_positions_are_rounded_to_the_precision_and_errors_do_not_add_up(
    places: list[tuple[float, float]], precision: int
) -> None:
    lat, lon = np.array(places).T
    text = encode(lat, lon, precision)
    for asked, got in zip((lat, lon), decode(text, precision), strict=True):
        assert np.abs(got - asked).max() <= 0.5000001 * 10**-precision
    assert encode(*decode(text, precision), precision) == text


@examples(250)
@given(line=lines, damages=damages, cut=st.integers(0, 60))
def test_damaged_ones_are_read_like_the_plain_one_does_or_refused(
    line: tuple[int, list[Units]], damages: list[tuple[int, str]], cut: int
) -> None:
    precision, places = line
    text = plain_encode(places)
    for place, character in damages:
        text = text[: place % len(text)] + character + text[place % len(text) + 1 :]
    assert_like_the_plain_one(text, precision)
    assert_like_the_plain_one(text[:cut], precision)


@examples(250)
@given(raw=st.binary(max_size=40), precision=precisions)
def test_bytes_at_random_raise_nothing_but_its_own_error(raw: bytes, precision: int) -> None:
    assert_like_the_plain_one(raw.decode("latin-1"), precision)
    assert_like_the_plain_one("".join(VALID[byte % 64] for byte in raw), precision)
    assert_like_the_plain_one("".join(VALID[byte % 36] for byte in raw), precision)  # mostly short numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a polyline must have one position at least"),
        ("??\n?", 'character 3 is not one of those from "?" to "~"'),
        ("?>", 'character 2 is not one of those from "?" to "~"'),
        ("???é", 'character 4 is not one of those from "?" to "~"'),
        ("??_\x7f", 'character 4 is not one of those from "?" to "~"'),
        ("??A_", "the number at character 4 is unfinished"),
        ("??______?", "the number at character 3 is longer than 6 characters"),
        ("??_ibE", "the latitude at character 3 is followed by no longitude"),
        (plain_encode([(0, 0), (9_000_001, 0)]), "the latitude at character 3 is not from -90 to 90"),
        (plain_encode([(0, 0), (-9_000_000, 0), (-9_000_001, 0)]), "the latitude at character 9 is not from -90 to 90"),
        (plain_encode([(0, 18_000_001)]), "the longitude at character 2 is not from -180 to 180"),
        (plain_encode([(0, -18_000_000), (1, -18_000_001)]), "the longitude at character 9 is not from -180 to 180"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(text: str, message: str) -> None:
    with pytest.raises(PolylineError) as raised:
        decode(text, 5)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("lat", "lon"), [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([90.1], [0.0]), ([0.0], [-180.1]),
                     ([0.0, np.nan], [0.0, 0.0]), ([0.0], [np.inf])]
)  # fmt: skip
def test_what_is_no_line_of_positions_is_not_written(lat: list[float], lon: list[float]) -> None:
    with pytest.raises(PolylineError):
        encode(np.array(lat), np.array(lon), 5)


@pytest.mark.parametrize("precision", [-1, 0, 4, 7])
def test_other_precisions_are_refused(precision: int) -> None:
    with pytest.raises(PolylineError):
        decode("??", precision)
    with pytest.raises(PolylineError):
        encode(np.zeros(1), np.zeros(1), precision)


def test_a_long_one_is_read_in_milliseconds() -> None:
    """3 ms were measured; plain Python takes a second."""
    rng = np.random.default_rng(1)
    steps = rng.integers(-3000, 3000, (2, 200_000)) / 1e6
    text = encode(48 + steps[0], 2 + steps[1], 6)
    assert len(decode("????", 6)[0]) == 2  # compiled by now
    took = []
    for _ in range(5):
        begin = time.process_time()
        assert len(decode(text, 6)[0]) == 200_000
        took.append(time.process_time() - begin)
    assert min(took) < 0.02
