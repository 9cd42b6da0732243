"""The state of the map page and its URL, in Node: tests/node/page_state.mjs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import mapsvc
from tests.node.program import NODE

TESTS = Path(__file__).parents[1] / "node" / "page_state.mjs"
STATIC = Path(mapsvc.__file__).parent / "page" / "static"


def test_the_url_holds_the_whole_state_and_whatever_is_written_there_is_read() -> None:
    environment = {**os.environ, "PAGE_STATIC": str(STATIC)}
    command = [NODE, "--test", "--test-reporter=tap", str(TESTS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
