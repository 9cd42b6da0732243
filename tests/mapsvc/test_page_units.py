"""The pure parts of the map page, in Node: tests/node/page_units.mjs, whose tests are told by name when one fails."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import mapsvc
from tests.node.program import NODE

TESTS = Path(__file__).parents[1] / "node" / "page_units.mjs"
STATIC = Path(mapsvc.__file__).parent / "page" / "static"
SIZE_BYTES = 70_000  # of all modules and styles on the wire: a page without a build step stays small


def test_words_numbers_and_hours_of_the_page_are_right_in_three_languages() -> None:
    command = [NODE, "--test", "--test-reporter=tap", str(TESTS)]
    environment = {**os.environ, "PAGE_STATIC": str(STATIC)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


def test_the_page_stays_small_and_builds_no_html_from_data() -> None:
    sources = [*STATIC.glob("*.js"), *STATIC.glob("*.css")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in sources) < SIZE_BYTES
    for path in sources:
        source = path.read_text()
        for word in ("innerHTML =", "outerHTML =", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in source, f"{path.name}: {word}"
