"""The commands of docs/operations.md work as they stand, in one shell, on a small service: backup, restore, take-over,
upgrade and all. And what the alerts look at is there once the service has worked."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from tests.e2e.stack import TORTURE

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
SCRIPT_S = 240.0
NEEDED = ("psql", "pg_dump", "pg_restore", "pg_basebackup", "pgrep", "curl")

# A person waits as long as the page says, then looks; here the look is repeated until it holds, for so long at most. What shows
# that nothing happens (`carried 0.0`) waits its whole time, and TORTURE=1 waits as the page does.
WAITS = re.compile(r"^sleep (\d+)\n(?!carried 0\.0$)(.+)$", re.MULTILINE)
WITHIN = r"""
within() { local end=$((SECONDS + $1)); shift; until "$@"; do ((SECONDS <= end)) || return 1; sleep 0.2; done; }
replaced() { grep -q 'the workers are replaced' "$DATA_DIR/log/serve.log"; }
"""

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}: packages postgresql-client, procps, curl"
)


def blocks() -> list[str]:
    """Those marked as sh."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE | re.DOTALL)


class Service(NamedTuple):
    process: subprocess.Popen[bytes]
    folder: Path
    url: str
    admin_url: str
    environment: dict[str, str]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def log(self, role: str) -> str:
        return (self.folder / f"var/log/{role}.log").read_text()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="mapsvc-ops-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        ours = ("DATABASE_URL", "REDIS_URL", "INGEST_URL", "PUBLIC_URL")
        environment = {key: value for key, value in os.environ.items() if key not in ours} | {
            "DATA_DIR": f"{folder}/var", "BACKUP": f"{folder}/backup", "PORT": "0", "ADMIN_PORT": "0", "WORKERS": "1",
            "RATE_LIMIT": "0", "DEMO_STATIONS": "200", "PYTHONPATH": str(ROOT), "TMPDIR": str(folder),
        }  # fmt: skip
        log = folder / "up.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "mapsvc", "up"], cwd=ROOT, env=environment, stdout=out, stderr=out
            )
        try:
            deadline = time.monotonic() + START_S
            while "Ctrl-C stops it" not in (text := log.read_text(errors="replace")):
                assert process.poll() is None and time.monotonic() < deadline, text[-2000:]
                time.sleep(0.2)
            url = re.search(r"Map:\s+(http://\S+?)/\s", text)
            admin = re.search(r"Metrics:\s+(http://\S+)/metrics", text)
            assert url and admin, text[-2000:]
            yield Service(process, folder, url[1], admin[1], environment)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(1.5)
            except subprocess.TimeoutExpired:  # how it ends is tested elsewhere: a second Ctrl-C makes an end of it
                process.send_signal(signal.SIGINT)
                process.wait(60)


def sooner(wait: re.Match[str]) -> str:
    """The same commands without waiting longer than what is waited for takes."""
    seconds, command = wait.groups()
    if command.endswith("mapsvc verify"):  # compared once, when the new processes are there
        return f"within {seconds} replaced || true\n{command}"
    return f"within {seconds} {command}"


def run(service: Service, scripts: list[str]) -> list[str]:
    """One after another in one shell, as a person would type them; the output of each."""
    # An answer may end without a newline.
    marked = "\n".join(f"echo; echo '=== {i}'\n{script}" for i, script in enumerate(scripts))
    if not TORTURE:
        marked = WAITS.sub(sooner, marked)
    # Whatever fails, nothing is left running.
    here = f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{WITHIN}\n{marked}"
    here = here.replace("http://127.0.0.1:8080", service.url).replace("http://127.0.0.1:8081", service.admin_url)
    here = here.replace("curl ", "curl --fail-with-body --silent --show-error ").replace(
        ".venv/bin/python", sys.executable
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", here],
        cwd=ROOT, env=service.environment, capture_output=True, text=True, check=False, timeout=SCRIPT_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return re.split(r"^=== \d+\n", done.stdout, flags=re.MULTILINE)[1:]


def report(service: Service, times: int) -> None:
    """An EVSE's status changes so often; all is acknowledged."""
    station = service.get("/v1/stations?bbox=-180,-90,180,90&limit=1")["stations"][0]["id"]
    party, _, location = station.partition("~")
    uid = service.get(f"/v1/stations/{station}")["evses"][0]["uid"]
    words = [sys.executable, "-m", "mapsvc", "keys", "create", party]
    key = subprocess.run(words, cwd=ROOT, env=service.environment, capture_output=True, text=True, check=True).stdout
    for i in range(times):
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        update = {"evse_uid": uid, "location_id": location, "source_ts": at, "status": ("BLOCKED", "RESERVED")[i % 2]}
        request = urllib.request.Request(
            f"{service.url}/v1/status", json.dumps([update]).encode(), {"Authorization": f"Bearer {key.strip()}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["outcomes"][0]["outcome"] in ("applied", "confirmed")


def until(condition: Callable[[], bool], told: Callable[[], object], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.2)


def test_what_alerts_and_panels_name_is_there(service: Service) -> None:
    """By the running service itself, of all that is there before something goes wrong."""
    asked = (ROOT / "deploy/prometheus/rules.yml").read_text() + (ROOT / "deploy/grafana/mapsvc.json").read_text()
    only_when_wrong_or_written = {"mapsvc_refused_total", "mapsvc_stations_written_total", "mapsvc_roads_away_total"}
    wanted = set(re.findall(r"\bmapsvc_[a-z_]+", asked)) - only_when_wrong_or_written
    missing: set[str] = wanted

    def all_there() -> bool:
        nonlocal missing
        missing = wanted - set(re.findall(r"^(mapsvc_[a-z_]+)[{ ]", service.metrics(), re.MULTILINE))
        return not missing

    until(all_there, lambda: missing)
    report(service, 1)
    text = service.metrics()
    assert re.search(r'^mapsvc_request_seconds_count\{.*route="/v1/status",status="200"', text, re.MULTILINE)


async def test_every_command_of_the_page_works(service: Service) -> None:
    scripts = blocks()
    assert len(scripts) >= 10
    before = service.get("/v1/status-summary")
    epoch = service.get("/readyz")["epoch"]
    dump = next(i for i, script in enumerate(scripts) if "pg_dump" in script) + 1
    output = run(service, scripts[:dump])
    report(service, 40)  # what the backup does not have
    output += run(service, [scripts[0], *scripts[dump:]])[1:]
    by_block = dict(zip(scripts, output, strict=True))

    restored = next(script for script in scripts if "pg_restore" in script)
    assert (service.folder / "backup/mapsvc.dump").stat().st_size > 10_000
    assert (service.folder / "backup/base/base.tar.gz").stat().st_size > 1_000_000
    assert "setval" in by_block[restored]
    assert "the cache is ahead of the database, which was restored" in service.log("relay")
    for script in scripts:
        assert ("mapsvc verify" not in script) or by_block[script].count("equal") == 16
    assert sum("mapsvc verify" in script for script in scripts) == 2
    keys = next(script for script in scripts if "keys revoke" in script)
    assert "revoked" in by_block[keys]

    # The service that came out of all this is whole, and the database that it had is beside it.
    until(lambda: service.log("serve").count("the workers are replaced") == 2, lambda: service.log("serve")[-2000:])
    ready = service.get("/readyz")
    assert ready["ready"] and ready["epoch"] > epoch
    after = service.get("/v1/status-summary")
    assert after["stations"] == before["stations"] > 150
    assert after["evses"]["total"] == before["evses"]["total"]
    running = json.loads((service.folder / "var/run/running.json").read_text())
    old = await asyncpg.connect(running["database_url"].rpartition("/")[0] + "/postgres")
    try:
        names = {row["datname"] for row in await old.fetch("SELECT datname FROM pg_database")}
    finally:
        await old.close()
    assert {"mapsvc", "mapsvc_before"} <= names
