"""The report: counted, written as a table or as JSON lines, summed up."""

from __future__ import annotations

import json
from pathlib import Path

from mapsvc.importers.report import EXPLAINED, Outcome, Reason, Report


def report_of_three(max_rows: int = 10) -> Report:
    report = Report(max_rows)
    report.file = "a.json"
    report.add("/0/id", None, "id", Reason.NO_ID, Outcome.SKIPPED, line=3)
    report.file = ""
    report.add("/1/city", "x\ty", "city", Reason.MISSING, Outcome.KEPT, "a\nb\ud800" + "c" * 300)
    report.add("/2/city", "z", "city", Reason.MISSING, Outcome.KEPT)
    return report


def test_a_table_has_one_line_a_row_whatever_the_values(tmp_path: Path) -> None:
    path = tmp_path / "report.tsv"
    report_of_three().write(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "file\tline\twhere\tid\tfield\treason\toutcome\tdetail"
    assert lines[1] == "a.json\t3\t/0/id\t\tid\tno_id\tskipped\t"
    assert [len(line.split("\t")) for line in lines] == [8] * 4
    assert lines[2].split("\t")[3] == "x y"
    assert lines[2].endswith("c…")


def test_json_lines_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    report_of_three().write(path)
    first, second, _ = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert first == {
        "where": "/0/id",
        "id": None,
        "field": "id",
        "reason": "no_id",
        "outcome": "skipped",
        "line": 3,
        "file": "a.json",
    }
    assert second["id"] == "x\ty"


def test_the_summary_counts_also_what_is_no_longer_kept() -> None:
    report = report_of_three(max_rows=2)
    assert len(report.rows) == 2
    assert report.total == 3
    assert report.by_reason == {Reason.MISSING: 2, Reason.NO_ID: 1}
    assert report.summary().splitlines() == [
        "3 dirty rows (the first 2 are written out)",
        "       2  kept     missing",
        "       1  skipped  no_id",
    ]
    assert Report().summary() == "no dirty rows"


def test_every_reason_is_explained() -> None:
    assert set(EXPLAINED) == set(Reason)
