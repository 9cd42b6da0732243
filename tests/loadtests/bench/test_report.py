"""Results: kept as JSON, told as a table in which nobody is silently missing, drawn as plots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.bench import report
from loadtests.bench.results import Goal, Result, read_all
from loadtests.bench.stats import Spread

MACHINE = {
    "cpu": "A processor", "cores": 2, "memory_gb": 23.5, "os": "An OS", "kernel": "6.1",
    "versions": {"python": "3.11.7", "redis": "7.0.15"},
}  # fmt: skip


@pytest.fixture
def result() -> Result:
    result = Result("S2", "nearby", conditions={"limit": 20})
    result.skip("Tile38", "no Go toolchain")
    result.row("ours", {"req/s": Spread(36_000.0, 35_000.0, 37_000.0), "CPU-µs": 27.5, "cores": "one"})
    result.row("a peer", {"req/s": Spread(12_600.0, 12_000.0, 13_000.0), "remark": "a|b"})
    result.goal("ours / a peer", 2.86, at_least=1.5)
    result.goal("p99", 7.25, at_most=5.0, unit="ms")
    result.goal("ours / Tile38", None, at_least=1.0, why="the peer did not run")
    result.check("100 answers equal to brute force")
    result.notes.append("A note.")
    result.plot("nearby", "req/s", logarithmic=True)
    result.plot("CPU", "CPU-µs")
    result.plot("over time", "ms", series={"ours": [[0, 1], [1, 2]]}, x_label="s")
    return result


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path, result: Result) -> None:
    result.write(tmp_path)
    Result("S10", "later").write(tmp_path)
    found = read_all(tmp_path)
    assert [one.step for one in found] == ["S2", "S10"]
    assert found[0].goals == result.goals
    assert [row.skipped for row in found[0].rows] == ["no Go toolchain", "", ""]
    assert found[0].rows[1].figures["req/s"] == {"median": 36_000.0, "low": 35_000.0, "high": 37_000.0}


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("a", 1.5, at_least=1.5), "passed"),
        (Goal("a", 1.49, at_least=1.5), "missed"),
        (Goal("a", 5.0, at_most=5.0), "passed"),
        (Goal("a", 5.1, at_most=5.0), "missed"),
        (Goal("a", 3.0, at_least=1.0, at_most=2.0), "missed"),
        (Goal("a", None, at_least=1.0, why="it did not run"), "not measured"),
    ],
)
def test_a_goal_is_passed_missed_or_not_measured(goal: Goal, verdict: str) -> None:
    assert goal.verdict == verdict


def test_the_table_tells_goals_figures_and_who_was_left_out(result: Result) -> None:
    text = report.markdown([result], MACHINE, "A title", {"S2": ["S2-1.svg"]})
    assert text.startswith(
        "# A title\n\nA processor, 2 cores, 23.5 GiB; An OS, Linux 6.1; python 3.11.7, redis 7.0.15.\n"
    )
    assert "| S2 | ours / a peer | ≥ 1.5 | 2.86 | passed |" in text
    assert "| S2 | p99 | ≤ 5 ms | 7.25 ms | **missed** |" in text
    assert "| S2 | ours / Tile38 | ≥ 1 | the peer did not run | not measured |" in text
    assert "|  | req/s | CPU-µs | cores | remark |" in text
    assert "| ours | 36,000 (35,000 to 37,000) | 27.5 | one |  |" in text
    assert "| a peer | 12,600 (12,000 to 13,000) |  |  | a\\|b |" in text
    assert text.index("| a peer |") < text.index("| Tile38 | not measured: no Go toolchain |  |  |  |")
    assert "Compared first: 100 answers equal to brute force." in text
    assert "A note." in text
    assert "![S2-1.svg](S2-1.svg)" in text


def test_a_step_that_failed_as_a_whole_is_told_too() -> None:
    broken = Result("S3", "not measured")
    broken.skip("this step", "it broke")
    assert "| this step | not measured: it broke |" in report.markdown([broken], MACHINE, "t", {})


def test_every_line_of_a_table_has_as_many_cells(result: Result) -> None:
    lines = report.rows_table(result).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_table_json_and_plots_are_written(tmp_path: Path, result: Result) -> None:
    path = report.write([result], MACHINE, "A title", tmp_path)
    assert path.name == "table.md"
    told = json.loads((tmp_path / "table.json").read_text())
    assert [goal["verdict"] for goal in told["results"][0]["goals"]] == ["passed", "missed", "not measured"]
    pictures = sorted(tmp_path.glob("*.svg"))
    assert [picture.name for picture in pictures] == ["S2-1.svg", "S2-2.svg", "S2-3.svg"]
    assert all("</svg>" in picture.read_text() for picture in pictures)
    assert "36,000" in pictures[0].read_text()
