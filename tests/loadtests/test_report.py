"""The report: one page that needs nothing else, for any run."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from loadtests import charts
from loadtests.options import Options
from loadtests.report import page
from loadtests.server_metrics import Sample
from tests.loadtests.results_of import frame, results, served_in_full

ROOT = Path(__file__).resolve().parents[2]
STEADY = Options(rate=50.0, duration="10", max_p99_ms=25.0)
SAMPLES = [Sample(float(s), {"serve-1": 0.3 * s, "ingest": 0.1 * s}, {"serve-1": 1e8 + s}, 0.02) for s in range(11)]


class Text(HTMLParser):
    """What a reader sees, and what the page would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attributes if name in ("src", "srcset", "data")]
        self.loads += [value or "" for name, value in attributes if tag in ("link", "script", "iframe")]
        self.loads += [v or "" for n, v in attributes if n in ("href", "xlink:href") and not (v or "").startswith("#")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))


def test_a_run_is_shown_with_its_verdict_first() -> None:
    text = Text(page(results(STEADY, served_in_full(STEADY), samples=SAMPLES)))
    told = text.words
    assert "Passed" in told
    assert told.index("Passed") < told.index("Thresholds") < told.index("Offered and achieved") < told.index("Requests")
    for title in ("How long requests took", "CPU", "Memory", "Replica lag", "p99 of a request"):
        assert title in told
    assert "Failed, and begun late" not in told


def test_the_page_loads_nothing() -> None:
    html = page(results(STEADY, served_in_full(STEADY), samples=SAMPLES))
    assert Text(html).loads == []
    assert "url(http" not in html
    assert html.count("<svg") >= 6


def test_what_failed_is_said() -> None:
    frames = [*served_in_full(STEADY)[:-1], frame(9, 30, ms=60.0, failed=12, late=5)]
    told = Text(page(results(STEADY, frames))).words
    assert "Failed" in told
    assert "does not hold" in told
    assert {"What went wrong", "answered 500", "12"} <= set(told)


def test_names_from_outside_are_text() -> None:
    told = results(STEADY, served_in_full(STEADY))
    told["target"] = "http://<script>alert(1)</script>"
    told["rows"][0]["name"] = "<b>x</b>"
    html = page(told)
    assert "<script" not in html
    assert "<b>x</b>" not in html


def ramp(holding: int) -> dict[str, Any]:
    options = Options(shape="ramp", rate=400.0, duration="16")
    frames = [f if f["second"] < 2 * holding else frame(f["second"], f["done"] // 3) for f in served_in_full(options)]
    return results(options, frames, until_s=2 * holding + 2)


@pytest.mark.parametrize(
    "told",
    [
        results(STEADY, []),
        results(STEADY, served_in_full(STEADY)[:1], until_s=1),
        results(Options(rate=2.0, duration="1"), [frame(0, 2)]),
        results(Options(rate=5.0, duration="1400", shape="soak"), [frame(s, 5) for s in range(1400)], samples=SAMPLES),
        results(STEADY, served_in_full(STEADY), samples=[Sample(float(s), {}, {}, None) for s in range(11)]),
        ramp(3),
        ramp(0),
    ],
    ids=["nothing", "a second", "two sessions", "a soak", "no metrics", "a ramp", "a ramp that never held"],
)
def test_any_run_can_be_drawn(told: dict[str, Any]) -> None:
    html = page(json.loads(json.dumps(told)))
    assert "</html>" in html
    assert "nan" not in " ".join(Text(html).words)


def test_the_knee_is_shown() -> None:
    told = Text(page(ramp(3))).words
    assert "the knee" in told
    assert told.count("holds") >= 3
    assert "no step held" in Text(page(ramp(0))).words


def test_long_runs_are_drawn_by_means_and_worst_values() -> None:
    at, mean = charts._line([1.0, 3.0] * 300)
    assert (len(at), at[:2], mean[:2]) == (300, [1.0, 3.0], [2.0, 2.0])
    assert charts._line([1.0, 3.0] * 300, worst=True)[1][0] == 3.0


def test_equal_results_make_equal_pictures() -> None:
    told = results(STEADY, served_in_full(STEADY))
    assert charts.rates(told) == charts.rates(told)


def test_it_is_a_command(tmp_path: Path) -> None:
    data, html = tmp_path / "run.json", tmp_path / "run.html"
    data.write_text(json.dumps(results(STEADY, served_in_full(STEADY))))
    subprocess.run([sys.executable, "-m", "loadtests.report", str(data), str(html)], cwd=ROOT, check=True)
    assert "Passed" in Text(html.read_text()).words
