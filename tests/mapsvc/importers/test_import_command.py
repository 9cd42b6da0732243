"""`mapsvc import` as a process, for the formats beside OCPI and IRVE: files and URLs into a real database, twice."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapsvc.__main__ import main
from tests.mapsvc.importers.tabular import BNETZA_PREAMBLE, BNETZA_ROW, afdc_row, bnetza_row, csv_bytes, xlsx_bytes
from tests.mapsvc.importers.test_superchargers import SITE

ROOT = Path(__file__).resolve().parents[3]
MAP = "name=Station Name,lat=Latitude,lon=Longitude,id=ID,connector=EV Connector Types"


def run(database_url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mapsvc", "import", *(str(each) for each in arguments)]
    environment = os.environ | {"DATABASE_URL": database_url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "afdc.csv").write_bytes(csv_bytes([afdc_row(ID=str(k)) for k in range(20)]))
    sheet = [*BNETZA_PREAMBLE, list(BNETZA_ROW), *(list(bnetza_row(lat=54 + k / 100).values()) for k in range(5))]
    (tmp_path / "bnetza.xlsx").write_bytes(xlsx_bytes(sheet))
    (tmp_path / "sites.json").write_text(f"[{json.dumps(SITE)}]")
    return tmp_path


@pytest.fixture
def url(files: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(files)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_format_is_imported_from_files_and_urls_and_a_second_time_changes_nothing(
    database_url: str, files: Path, url: str
) -> None:
    for arguments, stations, evses in (
        (("afdc", "afdc.csv"), 20, 60),
        (("bnetza", "bnetza.xlsx"), 5, 10),
        (("superchargers", "sites.json"), 1, 2),
        (("csv", "afdc.csv", "--party", "list", "--map", MAP), 20, 20),
    ):
        name, file, *rest = arguments
        first = run(database_url, name, files / file, *rest)
        assert (first.returncode, first.stderr) == (0, ""), first
        assert f"stations:   {stations} new  0 changed" in first.stdout
        assert f"EVSEs:      {evses} new" in first.stdout
        again = run(database_url, name, f"{url}/{file}?key=secret", *rest, "--report", files / "dirt.tsv")
        assert (again.returncode, again.stderr) == (0, ""), again
        assert f"stations:   0 new  0 changed  {stations} unchanged" in again.stdout
        assert "secret" not in again.stdout + (files / "dirt.tsv").read_text()


def test_full_removes_what_the_file_no_longer_names(database_url: str, files: Path) -> None:
    run(database_url, "afdc", files / "afdc.csv")
    rows = [afdc_row(ID=str(k), Latitude="" if k == 3 else "43.65") for k in range(1, 20)]
    (files / "afdc.csv").write_bytes(csv_bytes(rows))
    done = run(database_url, "afdc", files / "afdc.csv", "--full")
    assert done.returncode == 0, done
    assert "1 removed" in done.stdout, "0 is gone; 3 is named, but could not be read"


def test_what_cannot_be_read_is_exit_1_and_the_others_are_imported(database_url: str, files: Path, url: str) -> None:
    done = run(
        database_url, "afdc", f"{url}/nothing.csv?key=secret", files / "sites.json", files / "afdc.csv", "--full"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"mapsvc: {url}/nothing.csv: the server answers 404",
        f"mapsvc: {files}/sites.json: no heading with the columns that are needed",
        "mapsvc: --full does nothing when a file could not be read",
    ]
    assert "20 new" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("csv", "x.csv", "--map", MAP), "csv needs --map"),
        (("csv", "x.csv", "--party", "list"), "csv needs --map"),
        (("afdc", "x.csv", "--map", MAP), "--map is for csv"),
        (("csv", "x.csv", "--party", "list", "--map", "name=a"), "lat, lon missing"),
        (("csv", "x.csv", "--party", "list", "--map", MAP, "--encoding", "base64"), "an encoding"),
    ],
)
def test_arguments_that_do_not_fit_are_exit_2(
    arguments: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: it ends before it does anything."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    try:
        code: object = main(["import", *arguments])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert why in capsys.readouterr().err
