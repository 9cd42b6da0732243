"""JSON bodies: every fault is told, with its pointer and what is allowed, and nothing else is raised."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsvc.json_body import MAX_FAULTS, Members
from mapsvc.problems import Problem, Unprocessable
from tests.geo.worlds import examples

WORDS = ("offset", "detour")


class Read:
    """What is read of `{number, whole, flag, word, words, text, any, parts: [{lat}]}`."""

    def __init__(self, body: bytes) -> None:
        members = Members.of(body)
        self.number = members.number("number", -1, 10, 5)
        self.whole = members.whole("whole", 1, 60, 20)
        self.flag = members.flag("flag", True)
        self.word = members.one_of("word", WORDS, "offset")
        self.words = members.some_of("words", ("ferries", "tolls"))
        self.text = members.text("text", 5) if members.has("text") else ""
        self.any = members.any("any")
        self.lats = []
        if members.has("parts"):
            for part in members.objects("parts", 1, 3):
                self.lats.append(part.number("lat", -90, 90))
                part.close()
        members.done()


def read(value: Any) -> Read:
    return Read(orjson.dumps(value))


def pointers(value: Any) -> list[str]:
    with pytest.raises(Unprocessable) as failure:
        read(value)
    assert failure.value.in_body
    assert all(fault.allowed for fault in failure.value.faults)
    return sorted(fault.where for fault in failure.value.faults)


def test_what_is_absent_or_null_is_the_default() -> None:
    names = ("number", "whole", "flag", "word", "words", "any")
    for value in ({}, dict.fromkeys(names)):
        found = read(value)
        assert (found.number, found.whole, found.flag, found.word, found.words) == (5, 20, True, "offset", ())
        assert (found.text, found.any, found.lats) == ("", None, [])


def test_what_is_given_is_read() -> None:
    found = read(
        {
            "number": -1, "whole": 60, "flag": False, "word": "detour", "words": ["tolls", "ferries", "tolls"],
            "text": "fünf5", "any": {"x": [1]}, "parts": [{"lat": 90}, {"lat": -89.5}],
        }
    )  # fmt: skip
    assert (found.number, found.whole, found.flag, found.word) == (-1.0, 60, False, "detour")
    assert isinstance(found.number, float)
    assert found.words == ("ferries", "tolls")
    assert (found.text, found.any, found.lats) == ("fünf5", {"x": [1]}, [90.0, -89.5])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", ["1", True, False, [], {}, 10.000001, -1.5, 1e300, 2**63, -(2**63)]),
        ("whole", ["1", True, 1.0, 0, 61, -1, [], {}, 2**63]),
        ("flag", ["true", 0, 1, [], {}]),
        ("word", ["", "Offset", 1, True, [], {}, ["offset"]]),
        ("words", ["tolls", [1], [None], ["tolls", "x"], {"tolls": 1}, [["tolls"]], True]),
        ("text", ["", "123456", 1, True, [], {}]),
        ("parts", [[], [{"lat": 1}] * 4, {"lat": 1}, "x", True]),
    ],
)
def test_what_is_wrong_is_named(name: str, values: list[Any]) -> None:
    for value in values:
        assert pointers({name: value}) == [f"/{name}"], value


def test_the_ends_of_a_range_belong_to_it_and_nothing_beyond() -> None:
    for value in (-1, 10, -1.0, 10.0):
        assert read({"number": value}).number == value
    for value in (1, 60):
        assert read({"whole": value}).whole == value


def test_all_faults_are_told_together_with_those_of_parts() -> None:
    told = pointers(
        {"number": "x", "flag": 1, "surplus": 1, "parts": [{"lat": 91}, {}, {"lat": 1, "name": 2}], "word": "detour"}
    )
    assert told == ["/flag", "/number", "/parts/0/lat", "/parts/1/lat", "/parts/2/name", "/surplus"]


def test_a_part_that_is_no_object_is_named() -> None:
    assert "/parts/1" in pointers({"parts": [{"lat": 1}, 5]})


def test_an_unknown_member_is_named_as_a_pointer_even_with_strange_letters() -> None:
    assert pointers({"a/b": 1, "~": 2, "~1": 3}) == ["/a~1b", "/~0", "/~01"]


def test_an_unknown_member_without_a_name_is_named_as_rfc_6901_has_it() -> None:
    assert pointers({"": 1}) == ["/"]


def test_a_long_name_is_cut_where_the_pointer_stays_one() -> None:
    (pointer,) = pointers({"x" * 63 + "~": 1})
    assert re.fullmatch(r"(/([^~/]|~[01])*)*", pointer)


@pytest.mark.parametrize("value", [[], 1, "x", None, True, [{}]])
def test_a_body_that_is_no_object_is_told_so(value: Any) -> None:
    with pytest.raises(Unprocessable) as failure:
        read(value)
    assert [fault.where for fault in failure.value.faults] == [""]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}x", b"\xff", b'{"number":NaN}', b'{"number":Infinity}', b"[" * 100_000, b'{"a":' * 100_000,
     b'{"text":"\\ud800"}', b"\x00"],
)  # fmt: skip
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(Problem) as failure:
        Read(body)
    assert type(failure.value) is Problem and failure.value.in_body
    assert failure.value.faults[0].where == ""


def test_not_more_faults_are_told_than_anybody_reads() -> None:
    with pytest.raises(Unprocessable) as failure:
        read({f"x{k}": k for k in range(1000)})
    assert len(failure.value.faults) == MAX_FAULTS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(("number", "whole", "flag", "word", "words", "text", "any", "parts", "lat", "x"))


@given(JSON | st.dictionaries(NAMES, JSON | st.lists(st.dictionaries(NAMES, JSON, max_size=2), max_size=4)))
@examples(120)
def test_whatever_json_comes_it_is_read_or_refused(value: Any) -> None:
    try:
        found = read(value)
    except Unprocessable as problem:
        assert problem.faults and problem.body()
        return
    assert isinstance(value, dict)
    assert -1 <= found.number <= 10 and 1 <= found.whole <= 60
    assert isinstance(found.flag, bool) and found.word in WORDS and set(found.words) <= {"ferries", "tolls"}
    assert len(found.text) <= 5
    assert all(-90 <= lat <= 90 for lat in found.lats)


@given(st.binary(max_size=40))
@examples(100)
def test_random_bytes_are_refused_or_read(body: bytes) -> None:
    try:
        Read(body)
    except Problem as problem:
        assert problem.body()
