"""What a step found, as one JSON file a step: var/bench/results/<step>.json. `loadtests.bench.report` turns all of them
into a table and plots. A contender that was left out or failed is a row that says why; it is never silently missing.

    result = Result("S2", "nearby, 20 of 1,000,000")
    result.row("ours, no filter", {"req/s": spread([…]), "CPU-µs": 31.0})
    result.skip("Tile38", "no Go toolchain")
    result.goal("ours / bare aiohttp", at_least=0.6, value=0.8)
    result.write()
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from loadtests.bench.service import BENCH_DIR
from loadtests.bench.stats import Spread, readable

RESULTS_DIR = BENCH_DIR / "results"

Figure = Spread | float | int | str
"""A cell of the table. A Spread shows its median and range, and is drawn with whiskers."""


class WrongAnswerError(Exception):
    """A measured endpoint or a peer answered otherwise than the oracle: the one reason for the benchmark to fail."""


@dataclass(frozen=True)
class Row:
    name: str
    figures: Mapping[str, Any] = field(default_factory=dict)  # column → Figure; a Spread as {median, low, high}
    skipped: str = ""  # why there are no figures


@dataclass(frozen=True)
class Goal:
    """`value` against `wanted`. It is told, and never decides whether anything passes."""

    name: str
    value: float | None  # None: could not be measured; `why` says so
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    why: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        high_enough = self.at_least is None or self.value >= self.at_least
        low_enough = self.at_most is None or self.value <= self.at_most
        return "passed" if high_enough and low_enough else "missed"

    @property
    def wanted(self) -> str:
        bounds = [("≥", self.at_least), ("≤", self.at_most)]
        return " and ".join(f"{sign} {bound:g}{self._unit}" for sign, bound in bounds if bound is not None)

    @property
    def told(self) -> str:
        return self.why if self.value is None else f"{readable(self.value)}{self._unit}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


@dataclass(frozen=True)
class Plot:
    """Bars: one a row, of the column `figure`. Lines: `series`, name → [[x, y], …], with `figure` as the y axis."""

    title: str
    figure: str
    series: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    x_label: str = ""
    logarithmic: bool = False


@dataclass
class Result:
    step: str
    title: str
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)  # what was compared with the oracle before anything was timed
    notes: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)  # world, connections, rounds: told once for all rows
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    took_s: float = 0.0

    def row(self, name: str, figures: Mapping[str, Figure]) -> None:
        self.rows.append(Row(name, {key: _plain(value) for key, value in figures.items()}))

    def skip(self, name: str, why: str) -> None:
        self.rows.append(Row(name, skipped=why))

    def goal(
        self,
        name: str,
        value: float | None,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        unit: str = "",
        why: str = "",
    ) -> None:
        self.goals.append(Goal(name, value, at_least, at_most, unit, why))

    def plot(self, title: str, figure: str, **more: Any) -> None:
        self.plots.append(Plot(title, figure, **more))

    def check(self, text: str, say: Callable[[str], None] | None = None) -> None:
        self.checks.append(text)
        if say is not None:
            say(f"checked: {text}")

    def write(self, folder: Path = RESULTS_DIR) -> Path:
        """Whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.step}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        told = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            **told
            | {
                "rows": [Row(**row) for row in told["rows"]],
                "goals": [Goal(**goal) for goal in told["goals"]],
                "plots": [Plot(**plot) for plot in told["plots"]],
            }
        )


def read_all(folder: Path = RESULTS_DIR) -> list[Result]:
    """In the order of their steps: S2 before S10."""
    found = [Result.read(path) for path in folder.glob("*.json")]
    return sorted(found, key=lambda result: (int("0" + "".join(filter(str.isdigit, result.step))), result.step))


def _plain(value: Figure) -> Any:
    return value._asdict() if isinstance(value, Spread) else value
