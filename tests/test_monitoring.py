"""Alert rules and dashboard name what the service really exposes, lead to a page that says what to do, and work.

What the service exposes is read from its source: a counter is not there before it first counts. tests/e2e asks the running
service as well.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mapsvc.metrics import Metrics

ROOT = Path(__file__).resolve().parents[1]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = (PROMETHEUS / "rules.yml").read_text()
DASHBOARD = json.loads((ROOT / "deploy/grafana/mapsvc.json").read_text())
RUNBOOK = "docs/operations.md"
FROM_PROMETHEUS = {"job", "instance", "le"}  # labels that are not ours
NAME = re.compile(r"\bmapsvc_[a-z0-9_]+")
OF_PRODUCERS = {"mapsvc_simulated_updates_total"}  # of the demo

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (package prometheus)")


# -- what is exposed ------------------------------------------------------------------------------------------------------


def exposed() -> dict[str, set[str]]:
    """Sample names with their labels, from every place in the source that registers a metric."""
    found: dict[str, set[str]] = {}

    def add(name: str, labels: set[str], *suffixes: str) -> None:
        for suffix in suffixes:
            found.setdefault(name + suffix, set()).update(labels | FROM_PROMETHEUS)

    for path in sorted((ROOT / "mapsvc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                for key in node.keys:
                    if isinstance(key, ast.Constant) and NAME.fullmatch(str(key.value)):
                        add(str(key.value), {"process"}, "")
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name, made_by = str(node.args[0].value), ast.unparse(node.func).rpartition(".")[2]
            if not NAME.fullmatch(name):
                continue
            labels = {"process", *(word.arg for word in node.keywords if word.arg)}
            if made_by in ("count", "CounterMetricFamily"):
                add(name, labels - {"labels"}, "_total")
            elif made_by in ("gauge", "GaugeMetricFamily"):
                add(name, {"process"}, "")
            elif made_by == "histogram":
                add(name, labels, "_bucket", "_count", "_sum")
            elif made_by == "Counter":
                add(name, {str(ast.literal_eval(label)) for label in node.args[2].elts}, "_total")  # type: ignore[attr-defined]
    return found


EXPOSED = exposed()


def test_the_source_tells_what_is_exposed() -> None:
    """Of each kind one, and a metric that is exposed as the source says."""
    assert {"outcome", "process"} <= EXPOSED["mapsvc_status_updates_total"]
    assert {"route", "method", "status"} <= EXPOSED["mapsvc_request_seconds_bucket"]
    assert EXPOSED["mapsvc_up_child_restarts_total"] == {"role", *FROM_PROMETHEUS}
    assert "process" in EXPOSED["mapsvc_data_age_seconds"]
    metrics = Metrics("x")
    metrics.count("mapsvc_status_updates", 1, outcome="applied")
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            assert set(sample.labels) <= EXPOSED[sample.name]


# -- what is asked for ----------------------------------------------------------------------------------------------------


def rule_expressions() -> list[str]:
    """As they stand in the file: of one line or, after `|`, of the more indented lines that follow."""
    lines = RULES.splitlines()
    found = []
    for i, line in enumerate(lines):
        if match := re.fullmatch(r"( +)expr: (.+)", line):
            more = list(_deeper(lines[i + 1 :], len(match[1])))
            found.append(" ".join(more) if match[2] == "|" else match[2])
    return found


def _deeper(lines: list[str], indent: int) -> Iterator[str]:
    for line in lines:
        if len(line) - len(line.lstrip()) <= indent:
            return
        yield line.strip()


def targets() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


EXPRESSIONS = [*rule_expressions(), *targets()]


def test_the_expressions_are_found() -> None:
    assert len(rule_expressions()) == RULES.count("- alert:") >= 20
    assert len(targets()) >= 30


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_metrics_and_labels_that_there_are(expression: str) -> None:
    names = NAME.findall(expression)
    assert names or expression == 'up{job="mapsvc"} == 0'
    assert set(names) <= EXPOSED.keys()
    for name, selector in re.findall(r"(\bmapsvc_[a-z0-9_]+)\{((?:[^}\"]|\"[^\"]*\")*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selector))
        assert labels and labels <= EXPOSED[name], (name, labels)
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= set().union(*(EXPOSED[name] for name in names)), grouped


def test_every_metric_is_looked_at_by_an_alert_or_a_panel() -> None:
    named = {name for expression in EXPRESSIONS for name in NAME.findall(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in EXPOSED} - OF_PRODUCERS == families


def test_words_in_the_rules_are_words_of_the_program() -> None:
    """Outcomes and reasons: a rule for one that never comes would sleep for ever."""
    source = "\n".join(path.read_text() for path in (ROOT / "mapsvc").rglob("*.py"))
    for label, words in re.findall(r"(outcome|reason|route)(?:=~|!~|!=|=)\"([^\"]+)\"", " ".join(EXPRESSIONS)):
        for word in words.split("|"):
            assert f'"{word}"' in source, (label, word)


# -- the alerts -----------------------------------------------------------------------------------------------------------


def alerts() -> list[tuple[str, str]]:
    return re.findall(r"- alert: (\w+)\n(.*?)(?=\n +- alert|\n\n|\Z)", RULES, re.DOTALL)


@pytest.mark.parametrize(("name", "text"), alerts(), ids=lambda value: value if "\n" not in value else "")
def test_an_alert_says_how_grave_it_is_what_it_is_and_what_to_do(name: str, text: str) -> None:
    assert re.search(r"labels: \{severity: (critical|warning)\}", text)
    assert re.search(r"summary: \".{20,}\"", text)
    link = re.search(rf"runbook_url: {RUNBOOK}#([a-z-]+)$", text, re.MULTILINE)
    assert link
    headings = re.findall(r"^#+ (.+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert link[1] in anchors
    assert name in (ROOT / RUNBOOK).read_text()


def test_every_alert_fires_in_a_test_of_the_rules() -> None:
    tests = (PROMETHEUS / "rules_test.yml").read_text()
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests))
    assert fired == {name for name, _ in alerts()}


@promtool
@pytest.mark.parametrize("words", ["check rules rules.yml", "test rules rules_test.yml", "check config prometheus.yml"])
def test_promtool_finds_nothing_wrong(words: str) -> None:
    done = subprocess.run(
        ["promtool", *words.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- the dashboard --------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_a_grafana_model() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["uid"] and DASHBOARD["title"] and DASHBOARD.get("id") is None
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert set(re.findall(r"\$(\w+)", " ".join(targets()))) == {"job", "__rate_interval"}
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == [
        "Now",
        "Traffic",
        "Ingest",
        "Freshness",
        "Live subscribers",
        "Roads",
        "Processes",
        "What is dropped, and why",
    ]
    for panel in panels:
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["type"] in ("timeseries", "stat")
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken
        taken |= cells


@promtool
def test_the_panels_expressions_are_promql(tmp_path: Path) -> None:
    """Grafana puts in its variables; promtool reads rules only, so each becomes one."""
    lines = ["groups:", "  - name: panels", "    rules:"]
    for i, expression in enumerate(targets()):
        expression = expression.replace("$__rate_interval", "1m").replace("$job", "mapsvc")
        lines += [f"      - record: panel:{i}", f"        expr: {json.dumps(expression)}"]
    (tmp_path / "panels.yml").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "panels.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
