"""Opening files: plain, gzip by content, damaged, missing; progress in bytes of the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mapsvc.importers.report import UnreadableFile
from mapsvc.importers.source import open_source

TEXT = b"".join(b"line %d\n" % k for k in range(50_000))


@pytest.mark.parametrize("name", ["plain.json", "plain.gz"])
def test_a_plain_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TEXT)
    with open_source(tmp_path / name) as source:
        assert source.readline() == b"line 0\n"
        assert b"line 0\n" + source.read() == TEXT


@pytest.mark.parametrize("name", ["zipped.gz", "zipped.json"])
def test_gzip_is_known_by_its_first_bytes_and_reads_by_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(TEXT[:100_000]) + gzip.compress(TEXT[100_000:]))
    with open_source(tmp_path / name) as source:
        assert list(source) == TEXT.splitlines(keepends=True)


def test_an_empty_file_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with open_source(tmp_path / "empty") as source:
        assert source.read() == b""


@pytest.mark.parametrize(
    "damaged",
    [
        gzip.compress(TEXT, mtime=0)[:-200],
        gzip.compress(TEXT, mtime=0)[:5],
        b"\x1f\x8bnonsense" * 9,
        gzip.compress(TEXT, mtime=0)[:-8] + b"12345678",
    ],
)
def test_a_damaged_gzip_is_an_unreadable_file(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "torn.gz"
    path.write_bytes(damaged)
    with pytest.raises(UnreadableFile, match=r"torn\.gz: damaged gzip"), open_source(path) as source:
        source.read()


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UnreadableFile), open_source(path) as source:
            source.read()


@pytest.mark.parametrize("error", [OSError("database gone"), EOFError()])
def test_errors_of_the_caller_pass_through(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "f").write_bytes(gzip.compress(TEXT, mtime=0))
    with pytest.raises(type(error)) as raised, open_source(tmp_path / "f"):
        raise error
    assert raised.value is error


def test_progress_counts_the_bytes_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "register.json.gz"
    path.write_bytes(gzip.compress(TEXT, mtime=0))
    with open_source(path, progress=True) as source:
        source.read()
    shown = capsys.readouterr().err
    assert "register.json.gz: 100%" in shown
    with open_source(path) as source:  # no terminal here: silent
        source.read()
    assert capsys.readouterr().err == ""
