"""What counts as a fault of an answer: status, length, a revalidation that does not work, and what is inside."""

from __future__ import annotations

import gzip

import pytest

from loadtests import checks
from loadtests.lean import Connection, Target
from loadtests.recorder import PARSED_EVERY, Row
from loadtests.session import Step, judge, run_session
from tests.loadtests.scripted import ScriptedServer

TARGET = Target.of("http://127.0.0.1:1")


class Answer:
    def __init__(self, body: bytes = b"", **fields: bytes) -> None:
        self._body, self._fields = body, fields

    def body(self) -> bytes:
        return self._body

    def field(self, name: bytes) -> bytes:
        return self._fields.get(name.decode().replace("-", "_"), b"")


def step(row: Row, etag: bytes = b"", *, revalidates: bool = False) -> Step:
    return Step(TARGET, "/v1/x", row, revalidates=revalidates, etag=etag)


@pytest.mark.parametrize("status", [204, 302, 400, 404, 429, 500, 503])
def test_any_other_status_is_a_fault(status: int) -> None:
    assert judge(step(Row("x")), b"", status, 0, Answer()) == f"answered {status}"


def test_a_304_is_right_only_where_an_etag_was_sent() -> None:
    row = Row("x")
    assert judge(step(row, b'"a"', revalidates=True), b'"a"', 304, 0, Answer()) == ""
    assert row.not_modified == 1
    assert judge(step(row), b"", 304, 0, Answer()) == "answered 304"


@pytest.mark.parametrize(("length", "fault"), [(13, ""), (12, "a body of 12 bytes"), (14, "a body of 14 bytes")])
def test_an_exact_length_is_exact(length: int, fault: str) -> None:
    assert judge(step(Row("hello", least=13, most=13)), b"", 200, length, Answer()) == fault


def test_a_body_has_a_least_length() -> None:
    row = Row("nearby", least=15)
    assert judge(step(row), b"", 200, 15, Answer()) == ""
    assert judge(step(row), b"", 200, 14, Answer()) == "a body that is too short"


def test_a_200_to_the_current_etag_is_a_fault_and_a_new_etag_is_remembered() -> None:
    one = step(Row("tile"), b'"a"', revalidates=True)
    assert b'If-None-Match: "a"\r\n\r\n' in one.request
    assert judge(one, b'"a"', 200, 5, Answer(etag=b'"a"')) == "answered 200 to the ETag that it has"
    assert judge(one, b'"a"', 200, 5, Answer(etag=b'"b"')) == ""
    assert one.etag == b'"b"'
    assert b'If-None-Match: "b"\r\n\r\n' in one.request


def test_another_session_may_have_seen_the_new_etag_first() -> None:
    """This one asked with "a" and is told "b", which by now is the one remembered: no fault."""
    one = step(Row("tile"), b'"b"', revalidates=True)
    assert judge(one, b'"a"', 200, 5, Answer(etag=b'"b"')) == ""


def test_one_answer_in_a_hundred_is_parsed() -> None:
    seen: list[bytes] = []
    row = Row("x", check=lambda body, path: seen.append(body + path.encode()))
    for number in range(10 * PARSED_EVERY):
        assert judge(step(row), b"", 200, 3, Answer(b"%d" % number)) == ""
    assert seen == [b"%d/v1/x" % number for number in range(PARSED_EVERY - 1, 10 * PARSED_EVERY, PARSED_EVERY)]


def parsed(check: checks.Check, body: bytes, path: str = "/v1/x", **fields: bytes) -> str:
    """The fault of the hundredth answer."""
    row = Row("x", check=check)
    row.answers = PARSED_EVERY - 1
    return judge(Step(TARGET, path, row), b"", 200, len(body), Answer(body, **fields))


STATION = b'{"id":"A*B~1","lat":1,"lon":2,"evses":[]}'
NEARBY = (
    b'{"stations":[{"distance_m":1.5,"connectors":["IEC_62196_T2_COMBO"],"max_power_kw":150,"evses":{"available":1}}]}'
)


@pytest.mark.parametrize(
    ("check", "body", "path", "fault"),
    [
        (checks.station, STATION, "/v1/stations/A*B~1", ""),
        (checks.station, STATION, "/v1/stations/A*B~2", "another station was asked for"),
        (checks.station, b'{"id":"A*B~1"}', "/v1/stations/A*B~1", "a station has id, lat, lon and evses"),
        (checks.station, b"[]", "/v1/x", "the body is no JSON object"),
        (checks.station, STATION[:-1], "/v1/x", "the body is no JSON"),
        (checks.tilejson, b'{"tilejson":"3.0.0","tiles":["x"],"vector_layers":[{}]}', "", ""),
        (checks.tilejson, b'{"tilejson":"3.0.0","tiles":["x"]}', "", "no TileJSON 3.0.0 with tiles and vector_layers"),
        (checks.nearby(), NEARBY, "", ""),
        (checks.nearby(), b'{"stations":[]}', "", ""),
        (checks.nearby(), b'{"stations":{}}', "", "nearby tells of at most as many stations as were asked for"),
        (checks.nearby(), b'{"stations":[{}]}', "", "a station of nearby lacks a member"),
        (checks.nearby(), b'{"stations":[{"distance_m":2},{"distance_m":1}]}', "", "nearby tells the nearest first"),
        (checks.nearby(checks.has_power), NEARBY, "", ""),
        (checks.nearby(checks.has_power), NEARBY.replace(b"150", b"99"), "", "nearby tells only what fits the filter"),
        (checks.nearby(checks.has_power), NEARBY.replace(b"150", b"null"), "", "a station of nearby lacks a member"),
        (checks.nearby(checks.is_available), NEARBY, "", ""),
        (checks.nearby(checks.is_available), NEARBY.replace(b":1}}", b":0}}"), "", "nearby tells only what fits the filter"),
        (checks.tile, b"", "", ""),
        (checks.tile, b"\x1a\xff", "", "a varint does not end"),
    ],
)  # fmt: skip
def test_what_parsed_answers_must_hold(check: checks.Check, body: bytes, path: str, fault: str) -> None:
    assert parsed(check, body, path) == fault


def test_bodies_are_parsed_without_their_encoding() -> None:
    assert parsed(checks.nearby(), gzip.compress(NEARBY), content_encoding=b"gzip") == ""
    assert parsed(checks.nearby(), NEARBY, content_encoding=b"gzip") == "the body is no gzip"
    assert parsed(checks.nearby(), NEARBY, content_encoding=b"br") == "an encoding that was not asked for"


# -- whole sessions -----------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


def test_a_wrong_answer_fails_the_session_but_the_app_goes_on() -> None:
    with ScriptedServer([None, OK, None, BAD, None, OK]) as server:
        target, rows = Target.of(server.url), [Row("a"), Row("b"), Row("c")]
        connection = Connection(target)
        assert not run_session(connection, [Step(target, "/", row) for row in rows])
        connection.close()
    assert [len(row.times) for row in rows] == [1, 1, 1]
    assert [dict(row.failures) for row in rows] == [{}, {"answered 500": 1}, {}]
    assert [row.bytes for row in rows] == [2, 0, 2]


def test_a_connection_that_breaks_ends_the_session() -> None:
    with ScriptedServer([None, OK, None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"]) as server:
        target, rows = Target.of(server.url), [Row("a"), Row("b"), Row("c")]
        assert not run_session(Connection(target), [Step(target, "/", row) for row in rows])
    assert [len(row.times) for row in rows] == [1, 1, 0]
    assert dict(rows[1].failures) == {"the connection was closed within an answer": 1}


def test_a_session_without_a_fault_is_whole() -> None:
    with ScriptedServer([None, OK, None, OK]) as server:
        target, row = Target.of(server.url), Row("a", least=2, most=2)
        connection = Connection(target)
        assert run_session(connection, [Step(target, "/", row)] * 2)
        connection.close()
    assert not row.failures
