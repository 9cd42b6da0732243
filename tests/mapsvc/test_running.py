"""Other commands find the service that runs in DATA_DIR, and only while it runs."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from mapsvc.running import filled_in, noted
from mapsvc.settings import Settings, run_dir


def test_what_runs_is_found_while_it_runs(tmp_path: Path) -> None:
    asked = Settings(data_dir=tmp_path)
    run_dir(tmp_path).mkdir(parents=True, exist_ok=True)
    inside = replace(asked, database_url="postgresql://u:p@127.0.0.1:1/x", redis_url="redis://127.0.0.1:2/0")
    with noted(inside, port=4711, admin_port=4712):
        found = filled_in(asked)
        assert (found.database_url, found.redis_url, found.port) == (inside.database_url, inside.redis_url, 4711)
        note = next(run_dir(tmp_path).glob("running*"))
        assert stat.S_IMODE(note.stat().st_mode) == 0o600, "it holds passwords"
        own = filled_in(replace(asked, database_url="postgresql://u:p@127.0.0.1:9/y"))
        assert own.database_url == "postgresql://u:p@127.0.0.1:9/y", "what the environment says comes first"
    assert filled_in(asked) == asked


def test_a_broken_note_is_no_note(tmp_path: Path) -> None:
    run_dir(tmp_path).mkdir(parents=True, exist_ok=True)
    (run_dir(tmp_path) / "running.json").write_bytes(b"{")
    assert filled_in(Settings(data_dir=tmp_path)) == Settings(data_dir=tmp_path)
