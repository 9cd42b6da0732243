"""The orderly end of a process of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROLE = """
from mapsvc.role import Ending, Role
from mapsvc.settings import Settings
import os, sys
async def work(role):
    ending = Ending()
    role.ready("here")
    await ending.asked_or([])
sys.exit(Role("test", Settings.from_env(os.environ)).run(work))
"""


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signals_that_come_while_it_ends_are_not_heard(tmp_path: Path, first: signal.Signals) -> None:
    """One after the other until it is gone, as a supervisor in a hurry sends them: it ends as if there had been one."""
    env = {**os.environ, "DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x", "DATA_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", ROLE], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "ready test here\n"
    process.send_signal(first)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        time.sleep(0.003)  # thousands of signals would fill what the loop hears them by
    assert (process.wait(1), process.stderr.read()) == (0, "")
