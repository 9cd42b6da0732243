"""The command's arguments, and files plain or packed."""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import zstandard

from mapsvc.importers.report import UnreadableFile
from mapsvc.replay.command import _span, add_arguments
from mapsvc.replay.feed import ReplayError
from mapsvc.replay.player import Span
from mapsvc.replay.unpacking import recording

CONTENT = b"".join(b"line %d\n" % i for i in range(50_000))


def ms(*instant: int) -> int:
    year, month, day, hour, minute = (*instant, 0, 0)[:5]
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["ie", "file", *words])


def span(*words: str) -> Span:
    return _span(arguments(*words), ms(2018, 7, 1, 10), ms(2018, 7, 3), ZoneInfo("Europe/Dublin"))


def test_all_is_played_unless_a_part_is_asked_for() -> None:
    assert span() == Span(ms(2018, 7, 1, 10), ms(2018, 7, 3), 1.0)
    assert span("--speed", "600", "--from", "2000-01-01", "--until", "2100-01-01") == span()._replace(speed=600.0)


def test_a_time_without_zone_is_the_sources() -> None:
    assert span("--from", "2018-07-01T16:00").from_ms == ms(2018, 7, 1, 15)
    assert span("--from", "2018-07-01T16:00Z").from_ms == ms(2018, 7, 1, 16)
    assert span("--until", "2018-07-02T00:30").until_ms == ms(2018, 7, 1, 23, 30)


def test_hours_are_counted_from_the_beginning_of_the_part() -> None:
    assert span("--from", "2018-07-01T16:00", "--limit-hours", "1.5").until_ms == ms(2018, 7, 1, 16, 30)
    assert span("--limit-hours", "1000").until_ms == ms(2018, 7, 3)


@pytest.mark.parametrize("words", [["--from", "2019-01-01"], ["--until", "2018-07-01T11:00"]])
def test_a_part_with_nothing_in_it_is_an_error(words: list[str]) -> None:
    with pytest.raises(ReplayError):
        span(*words)


@pytest.mark.parametrize(
    "words",
    [["--speed", "0"], ["--speed", "nan"], ["--speed", "-1"],
     ["--from", "noon"], ["--until", "2018-07-02", "--limit-hours", "2"]],
)  # fmt: skip
def test_bad_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(*words)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_file_is_read_plain_or_packed_whatever_its_name(tmp_path: Path, packer: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(PACKERS[packer](CONTENT))
    with recording(path) as lines:
        assert b"".join(lines) == CONTENT


def test_several_zstd_frames_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(zstandard.compress(CONTENT) + zstandard.compress(b"") + zstandard.compress(b"end"))
    with recording(path) as lines:
        assert b"".join(lines) == CONTENT + b"end"


@pytest.mark.parametrize("packer", ["gzip", "zstd"])
@pytest.mark.parametrize("overwritten", [True, False], ids=["overwritten", "torn"])
def test_a_damaged_file_is_unreadable(tmp_path: Path, packer: str, overwritten: bool) -> None:
    packed = PACKERS[packer](CONTENT)
    half = len(packed) // 2
    path = tmp_path / "file"
    path.write_bytes(packed[:half] + (b"\xff" * half if overwritten else b""))
    with pytest.raises(UnreadableFile), recording(path) as lines:
        list(lines)
