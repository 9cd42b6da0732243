from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mapsvc import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    logs.setup("info", role="ingest", stream=stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    logging.getLogger("mapsvc.ingest").info("batch of %d\ncommitted", 7, extra={"shard": 3, "took_ms": 1.5})
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "mapsvc.ingest",
        "message": "batch of 7\ncommitted",
        "role": "ingest",
        "shard": 3,
        "took_ms": 1.5,
    }


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    logging.getLogger("x").debug("quiet")
    assert lines(stream) == []


def test_an_exception_keeps_its_trace(stream: io.StringIO) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "ValueError: boom" in lines(stream)[0]["exception"]


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://mapsvc:SECRET@127.0.0.1:5432/mapsvc",
        "cannot reach redis://:SECRET@127.0.0.1:6379/0",
        "header Authorization: Bearer SECRETSECRET",
        "header Authorization: Token SECRETSECRET==",
        "GET /v1/nearby?lat=SECRET&limit=3",
        "GET /v1/nearby?limit=3&lon=-SECRET",
        "GET /v1/stations?bbox=SECRET,1.0,2.0,3.0",
        '{"lat": SECRET}',
        "api_key=SECRET",
    ],
)
def test_keys_and_positions_are_blanked_in_text(stream: io.StringIO, text: str) -> None:
    """R10"""
    logging.getLogger("x").info(text)
    logging.getLogger("x").info("as a field", extra={"detail": text})
    try:
        raise RuntimeError(text)
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    assert len(lines(stream)) == 3
    assert "SECRET" not in stream.getvalue()


def test_keys_and_positions_are_blanked_as_fields(stream: io.StringIO) -> None:
    """R10"""
    logging.getLogger("x").info("hello", extra={"lat": 48.137, "Authorization": "SECRET", "station": "DE*ABC~1"})
    assert "48.137" not in stream.getvalue()
    assert "SECRET" not in stream.getvalue()
    assert lines(stream)[0]["station"] == "DE*ABC~1"


def test_a_value_that_json_lacks_does_not_lose_the_line(stream: io.StringIO) -> None:
    logging.getLogger("x").info("odd", extra={"nan": float("nan"), "big": 2**80, "bytes": b"\xff", "obj": object()})
    assert lines(stream)[0]["nan"] is None
    assert lines(stream)[0]["big"] == str(2**80)


def test_a_long_text_is_cut(stream: io.StringIO) -> None:
    logging.getLogger("x").info("y" * 100_000)
    assert len(stream.getvalue()) < 1_000


def test_sampled_lines_come_once_a_second_per_key_and_count_the_rest(stream: io.StringIO) -> None:
    now = 0.0
    late = logs.Sampled(logging.getLogger("x"), clock=lambda: now)
    for _ in range(5):
        late.warning("a", "late", party="a")
    late.warning("b", "late", party="b")
    now = 1.0
    late.warning("a", "late", party="a")
    late.warning("b", "late", party="b")
    assert [(line["party"], line.get("suppressed")) for line in lines(stream)] == [
        ("a", None),
        ("b", None),
        ("a", 4),
        ("b", None),
    ]


def test_sampling_remembers_a_bounded_number_of_keys(stream: io.StringIO) -> None:
    late = logs.Sampled(logging.getLogger("x"))
    for key in range(3 * logs.SAMPLED_KEYS):
        late.warning(key, "late")
    assert len(late._keys) == logs.SAMPLED_KEYS


def test_the_bytes_of_an_unreadable_request_are_not_logged() -> None:
    stream = io.StringIO()
    logs.setup("debug", "test", stream)
    try:
        logging.getLogger("aiohttp.server").error("Error handling request", extra={"data": "GET /v1/nearby?x=48.1"})
        assert stream.getvalue() == ""
    finally:
        logging.getLogger().handlers[:] = []
        logging.getLogger("aiohttp.server").setLevel(logging.NOTSET)
