from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mapsvc import __main__ as command_line
from mapsvc.settings import SOCKET_PATH_BYTES, SettingError, Settings, as_markdown, as_text, run_dir, table

README = Path(__file__).resolve().parents[2] / "README.md"


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})
    assert settings == dataclasses.replace(Settings(), data_dir=Path("var").absolute())
    assert (settings.port, settings.admin_port, settings.workers, settings.listen) == (8080, 8081, 2, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "good", "value"),
    [
        ("PORT", "0", 0),
        ("PORT", " 65535 ", 65535),
        ("WORKERS", "64", 64),
        ("DATA_DIR", "/srv/map", Path("/srv/map")),
        ("DATABASE_URL", "postgresql://u:p@db.example:5433/x", "postgresql://u:p@db.example:5433/x"),
        ("REDIS_URL", "rediss://:p@cache.example/0", "rediss://:p@cache.example/0"),
        ("PUBLIC_URL", "https://map.example/ev/", "https://map.example/ev"),
        ("MAP_STYLE_URL", "https://tiles.example:8443/s.json?key=k", "https://tiles.example:8443/s.json?key=k"),
        ("LISTEN", "::", "::"),
        ("LOG_LEVEL", "WARNING", "warning"),
        ("DEMO_STATIONS", "1000000", 1_000_000),
        ("PORT", "", 8080),
    ],
)
def test_a_good_value_is_parsed(name: str, good: str, value: object) -> None:
    assert getattr(Settings.from_env({name: good}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *((("PORT", text)) for text in ("65536", "-1", "8080.0", "http", "٨٠٨٠", "1e3", "0x10", "9" * 20)),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("DATABASE_URL", "mysql://u:hunter2@h/x"),
        ("DATABASE_URL", "postgresql:///x"),
        ("DATABASE_URL", "postgresql+asyncpg://u:hunter2@h/x"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:99999/x"),
        ("REDIS_URL", "hunter2"),
        ("PUBLIC_URL", "map.example"),
        ("PUBLIC_URL", "https://map.example/?q=1"),
        ("PUBLIC_URL", "https://user:hunter2@map.example"),
        ("INGEST_URL", "ftp://h"),
        ("MAP_STYLE_URL", "https://user:hunter2@tiles.example/s.json"),
        ("MAP_STYLE_URL", "https://tiles.example;script-src/s.json"),
        ("MAP_STYLE_URL", "//tiles.example/s.json"),
        ("LISTEN", "not an address"),
        ("LOG_LEVEL", "loud"),
        ("DATA_DIR", __file__),
        ("DEMO_STATIONS", "1000001"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_what_is_allowed(name: str, bad: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({name: bad})
    text = str(caught.value)
    assert text.startswith(name)
    assert table()[name].allowed in text
    if table()[name].secret:
        assert "hunter2" not in text


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({"PORT": "x", "WORKERS": "y"})
    assert [line.split("=")[0] for line in str(caught.value).splitlines()] == ["PORT", "WORKERS"]


def test_the_command_line_ends_with_2_and_the_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    assert command_line.main(["settings"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "mapsvc: PORT='eighty': must be a whole number from 0 to 65535\n"


def test_a_child_reads_the_same_settings() -> None:
    settings = Settings.from_env({"PORT": "0", "DATABASE_URL": "postgres://a@b/c", "PUBLIC_URL": "https://x.example/"})
    assert Settings.from_env(settings.to_env()) == settings


def test_passwords_are_not_printed() -> None:
    settings = Settings.from_env({"DATABASE_URL": "postgresql://u:hunter2@h/x", "REDIS_URL": "redis://:hunter2@h"})
    assert "hunter2" not in as_text(settings)


def test_sockets_have_paths_that_the_kernel_takes(tmp_path: Path) -> None:
    for data_dir in (tmp_path, tmp_path / ("deep/" * 30)):
        settings = dataclasses.replace(Settings(), data_dir=data_dir)
        assert len(bytes(settings.socket("serve-worker-63"))) <= SOCKET_PATH_BYTES
    assert run_dir(Path("/a")) == Path("/a/run")
    assert run_dir(tmp_path / ("deep/" * 30)) != run_dir(tmp_path / ("deeper/" * 30))


def test_the_readme_documents_every_setting() -> None:
    section = README.read_text(encoding="utf-8").split("## Settings", 1)
    assert len(section) == 2, "README.md has no section `## Settings`"
    told = section[1].split("\n## ", 1)[0]
    missing = [line for line in as_markdown().splitlines() if line not in told]
    assert not missing, "copy the output of `mapsvc settings --markdown` into the section `## Settings` of README.md"
