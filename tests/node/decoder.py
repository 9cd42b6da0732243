"""Tiles decoded by npm @mapbox/vector-tile, the code that MapLibre draws with, in one long-lived Node process.

Ask for the fixture `node_decoder` (import it into the test module). The packages are installed once, on first use, from
package-lock.json; it names no registry, only integrities.
"""

from __future__ import annotations

import fcntl
import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.node.program import NODE, NPM

HERE = Path(__file__).parent


class NodeDecoder:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [NODE, str(HERE / "decode.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def decode(self, tile: bytes | bytearray) -> dict[str, Any]:
        """Layers by name: version, extent, features of id, type, properties, points. ValueError for a broken tile."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(struct.pack(">I", len(tile)) + tile)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        layers: dict[str, Any] = answer["layers"]
        return layers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate(timeout=10)  # closes its stdin, at which it ends


@pytest.fixture(scope="session")
def node_decoder() -> Iterator[NodeDecoder]:
    install()
    with NodeDecoder() as decoder:
        yield decoder


def install() -> None:
    """`npm ci`, unless done (npm writes its hidden lock file last); one test worker at a time."""
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HERE / "node_modules" / ".package-lock.json").exists():
            command = [*NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, timeout=300)
