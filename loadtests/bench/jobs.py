"""Processes of our own beside what is measured, which leave their figures as JSON: started, waited for, read."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtests.bench.processes import Program, ProgramError, tail

GRACE_S = 120.0  # that one may take longer than it was told


class Job:
    """`python -m module words --out folder/name.json`, running from now on."""

    def __init__(
        self,
        module: str,
        folder: Path,
        name: str,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._out = folder / f"{name}.json"
        self._out.unlink(missing_ok=True)
        self._program = Program(
            f"{module} ({name})",
            [sys.executable, "-m", module, *words, "--out", str(self._out)],
            folder / f"{name}.log",
            environment=environment,
        )
        self._program.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()

    @property
    def pid(self) -> int:
        return self._program.pid

    def told(self, within_s: float) -> dict[str, Any]:
        """The figures. ProgramError if it failed."""
        ending = time.monotonic() + within_s + GRACE_S
        try:
            while self._program.running and time.monotonic() < ending:
                time.sleep(0.1)
        finally:
            self._program.stop()
        if self._program.returncode != 0 or not self._out.exists():
            raise ProgramError(f"{self._program.name} failed:\n{tail(self._program.log)}")
        told: dict[str, Any] = json.loads(self._out.read_text(encoding="utf-8"))
        return told
