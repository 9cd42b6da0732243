"""The README's commands work as they stand, on the service that `make run` starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_S = 240.0


def commands() -> list[str]:
    """The blocks marked as sh: each is one script."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[str, str, dict[str, str]]]:
    """`mapsvc up` with its default world, on free ports: base URL, metrics URL, environment for other commands."""
    with tempfile.TemporaryDirectory(prefix="mapsvc-readme-") as folder:
        Path(folder).chmod(0o755)
        environment = {
            **{
                k: v
                for k, v in os.environ.items()
                if k not in ("DATABASE_URL", "REDIS_URL", "INGEST_URL", "PUBLIC_URL")
            },
            "DATA_DIR": f"{folder}/var",
            "PORT": "0",
            "ADMIN_PORT": "0",
            "PYTHONPATH": str(ROOT),
            "RATE_LIMIT": "0",
        }
        log = Path(folder) / "up.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "mapsvc", "up"], cwd=ROOT, env=environment, stdout=out, stderr=out
            )
        try:
            deadline = time.monotonic() + START_S
            while "Ctrl-C stops it" not in log.read_text(errors="replace"):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
                time.sleep(0.2)
            text = log.read_text(errors="replace")
            base = re.search(r"Map:\s+(http://\S+?)/\s", text)
            metrics = re.search(r"Metrics:\s+(http://\S+)/metrics", text)
            assert base and metrics, text[-2000:]
            yield base[1], metrics[1], environment
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(1.5)
            except subprocess.TimeoutExpired:  # how it ends is tested elsewhere: a second Ctrl-C makes an end of it
                process.send_signal(signal.SIGINT)
                process.wait(60)


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 4


def test_every_command_of_the_readme_works(service: tuple[str, str, dict[str, str]], tmp_path: Path) -> None:
    base, metrics, environment = service
    for script in commands():
        here = script.replace("http://127.0.0.1:8080", base).replace("http://127.0.0.1:8081", metrics)
        here = here.replace("curl ", "curl --fail-with-body --silent --show-error ")
        here = here.replace(".venv/bin/python", sys.executable).replace("-o tile.mvt", f"-o {tmp_path}/tile.mvt")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", here],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-500:]}\n{done.stderr[-500:]}"
        if "/v1/nearby" in script:
            assert '"available":' in done.stdout
        if "/v1/status -H" in script:
            assert '"outcome":"applied"' in done.stdout or '"outcome":"confirmed"' in done.stdout
    assert (tmp_path / "tile.mvt").stat().st_size > 100
