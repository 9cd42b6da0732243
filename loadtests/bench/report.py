"""All results as one table, for people (Markdown) and for programs (JSON), with a plot for each that asks for one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.bench.plots import draw
from loadtests.bench.results import Goal, Result
from loadtests.bench.service import BENCH_DIR
from loadtests.bench.stats import readable

REPORT_DIR = BENCH_DIR / "report"


def write(results: Sequence[Result], machine: Mapping[str, Any], title: str, folder: Path = REPORT_DIR) -> Path:
    """table.md, table.json and the plots; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    pictures = {
        result.step: [
            draw(result, plot, folder / f"{result.step}-{k}.svg").name for k, plot in enumerate(result.plots, 1)
        ]
        for result in results
    }
    told = {"title": title, "machine": machine, "results": [_as_json(result) for result in results]}
    (folder / "table.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    path = folder / "table.md"
    path.write_text(markdown(results, machine, title, pictures), encoding="utf-8")
    return path


def _as_json(result: Result) -> dict[str, Any]:
    goals = [{**asdict(goal), "verdict": goal.verdict} for goal in result.goals]
    return {**asdict(result), "goals": goals}


def markdown(
    results: Sequence[Result], machine: Mapping[str, Any], title: str, pictures: Mapping[str, Sequence[str]]
) -> str:
    parts = [f"# {title}", _machine(machine), "## Goals", _goals(results)]
    for result in results:
        parts += [f"## {result.step}: {result.title}", *_step(result)]
        parts += [f"![{name}]({name})" for name in pictures.get(result.step, ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GiB; {machine['os']}, Linux "
        f"{machine['kernel']}; {versions}."
    )


def _goals(results: Sequence[Result]) -> str:
    rows = [[result.step, *goal_cells(goal)] for result in results for goal in result.goals]
    return table(["", "Goal", "Wanted", "Measured", ""], rows) if rows else "None was measured."


def goal_cells(goal: Goal) -> list[str]:
    verdict = goal.verdict
    return [goal.name, goal.wanted, goal.told, f"**{verdict}**" if verdict == "missed" else verdict]


def _step(result: Result) -> list[str]:
    conditions = "; ".join(f"{name}: {value}" for name, value in result.conditions.items())
    return [
        f"{conditions}." if conditions else "",
        "Compared first: " + "; ".join(result.checks) + "." if result.checks else "",
        rows_table(result),
        *result.notes,
        f"Measured {result.measured_at}, in {result.took_s:.0f} s.",
    ]


def rows_table(result: Result) -> str:
    """The columns in the order in which rows first name them. Who was left out comes last, with the reason in one
    cell."""
    columns = list(dict.fromkeys(name for row in result.rows for name in row.figures))
    if not result.rows:
        return ""
    rows = [
        [row.name, f"not measured: {row.skipped}", *[""] * (len(columns) - 1)]
        if row.skipped
        else [row.name, *(cell(row.figures.get(name, "")) for name in columns)]
        for row in sorted(result.rows, key=lambda row: bool(row.skipped))
    ]
    return table(["", *(columns or [""])], rows)


def cell(figure: Any) -> str:
    if isinstance(figure, Mapping):
        return f"{readable(figure['median'])} ({readable(figure['low'])} to {readable(figure['high'])})"
    if isinstance(figure, float):
        return readable(figure)
    return f"{figure:,}" if isinstance(figure, int) else str(figure)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
