"""`python -m loadtests.report results.json report.html`: one page that says whether it was good enough, and shows why.

The page is one file that needs nothing else: pictures are inline, no script, no font, no request.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

from loadtests import charts

STYLE = """
:root { --ink: #22303c; --faint: #66737f; --line: #e3e8ec; --good: #1f7a5a; --bad: #b32d2d; --paper: #fff; --back: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; margin-bottom: 18px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 15px; margin: 0 0 4px; }
header p { flex-basis: 100%; margin: 0; color: var(--faint); }
.verdict { color: #fff; font-weight: 600; font-size: 14px; padding: 2px 12px; border-radius: 20px; background: var(--good); }
.verdict.bad { background: var(--bad); color: #fff; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(142px, 1fr)); gap: 12px; margin-bottom: 12px; }
.figures section { padding: 12px 16px; }
.figures b { display: block; font-size: 25px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.figures b small { font-size: 14px; font-weight: 500; color: var(--faint); }
.figures span { color: var(--faint); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 12px; margin-bottom: 12px; }
.grid > :last-child:nth-child(odd) { grid-column: 1 / -1; }
.grid > :last-child:nth-child(odd) svg { max-width: 720px; }
main > section { margin-bottom: 12px; }
svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: right; font-weight: 500; color: var(--faint); padding: 4px 0 4px 14px; white-space: nowrap; }
td { text-align: right; padding: 5px 0 5px 14px; border-top: 1px solid var(--line); }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
th:first-child, td:first-child { padding-left: 0; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.note { border-left: 3px solid #d98a1f; background: #fdf6ea; padding: 8px 14px; margin: 0 0 12px; border-radius: 4px; }
.faint { color: var(--faint); font-size: 13px; margin: 6px 0 0; }
footer { color: var(--faint); font-size: 13px; margin-top: 16px; }
@media (max-width: 560px) { .grid { grid-template-columns: 1fr; } }
"""


def page(told: dict[str, Any]) -> str:
    limits = {one["name"]: one["limit"] for one in told["thresholds"]}
    many = told["units"][1]
    cards = [
        _section("Thresholds", _thresholds(told)),
        _section("From the median to the slowest hundredth", charts.by_request(told)),
        _section("The ramp", charts.ramp(told)),
        _section("The steps", _ramp_table(told)),
        _section("Offered and achieved", charts.rates(told)),
        _section("How long requests took", charts.percentiles(told, "request", limits.get("--max-p99-ms"))),
        _section(
            f"How long {many} took, from the instant they were due",
            charts.percentiles(told, "session", limits.get("--max-session-p99-ms")),
        ),
        _section("Failed, and begun late", charts.troubles(told)),
        _section("CPU", charts.cpu(told)),
        _section("Memory", charts.memory(told)),
        _section("Replica lag", charts.lag(told)),
        _section("Counted besides", _counts(told)),
    ]
    parts = [
        _header(told),
        *(f'<p class="note">{note}</p>' for note in _notes(told)),
        _figures(told),
        f'<div class="grid">{"".join(cards)}</div>',
        _section("What went wrong", _errors(told)),
        _section("Requests", _rows(told)),
        _footer(told),
    ]
    title = escape(f"{_name(told)}: load report")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _section(title: str, inside: str | None) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def _header(told: dict[str, Any]) -> str:
    verdict = '<span class="verdict">Passed</span>' if told["passed"] else '<span class="verdict bad">Failed</span>'
    facts = [
        escape(told["target"]),
        f"{told['started_at'].replace('T', ' ').replace('+00:00', ' UTC')}",
        f"{told['rate']:g} {'updates' if told['mix'] == 'live' else 'sessions'} a second at the top",
        f"{told['measured_s']:g} s measured",
        f"{told['load_generators']} load generator{'s' if told['load_generators'] != 1 else ''}",
    ]
    return f"<header><h1>{escape(_name(told))}</h1>{verdict}<p>{' · '.join(facts)}</p></header>"


_MIXES = {
    "drivers": "Driver sessions",
    "drivers-fresh": "Driver sessions, a connection each",
    "hello": "Hello-worlds",
    "hello-fresh": "Hello-worlds, a connection for each eight",
    "live": "Live subscriptions and status updates",
    "roads": "Routes and drive times",
}
_SHAPES = {"steady": "a steady load", "ramp": "ramp to the knee", "spike": "a spike", "soak": "a soak"}


def _name(told: dict[str, Any]) -> str:
    client = " (FastHttpUser)" if told["client"] == "fast" else ""
    return f"{_MIXES[told['mix']]}: {_SHAPES[told['shape']]}{client}"


def _notes(told: dict[str, Any]) -> list[str]:
    notes, sessions = [], told["sessions"]
    if told["client_was_busy"]:
        notes.append(
            "The load generators used more than 90 % of their cores: these figures may be theirs, not the target's."
        )
    if sessions["never_served"]:
        notes.append(
            f"{sessions['never_served']} {told['units'][1]} were never served: the target fell behind for good."
        )
    if sessions["offered"] and sessions["late"] > 0.01 * sessions["offered"]:
        share = sessions["late"] / sessions["offered"]
        notes.append(
            f"{share:.1%} of all {told['units'][1]} began late, because no connection was free or the load generator was busy. "
            "Their times count from the instant they were due."
        )
    if told["measured_s"] < told["duration_s"] and not told["ramp"]:
        notes.append(f"The run was ended after {told['measured_s']:g} of {told['duration_s']:g} s.")
    return notes


def _figures(told: dict[str, Any]) -> str:
    sessions, server = told["sessions"], told["server"]
    one, many = told["units"]
    if told["ramp"]:
        knee = told["ramp"]["knee"]
        at = knee or told["ramp"]["steps"][0]
        where = "at the knee" if knee else "at the first step"
        tiles = [
            (knee and knee["achieved_per_s"], "/s", "the knee" if knee else "no step held"),
            (at["p99_ms"], "ms", f"p99 of a request {where}"),
            (at["session_p99_ms"], "ms", f"p99 of a {one} {where}"),
        ]
    else:
        whole = next((row for row in told["rows"] if row["method"] == "SESSION"), None)
        tiles = [
            (sessions["achieved_per_s"], "/s", f"{many} achieved of {_number(sessions['offered_per_s'])} offered"),
            (told["requests"]["p99_ms"], "ms", "p99 of a request"),
            (whole["p99_ms"] if whole else None, "ms", f"p99 of a {one}"),
        ]
    failed = sessions["failed"] + sessions["never_served"]
    tiles.append((failed, "", f"of {sessions['offered']:,} {many} failed"))
    if server is not None:
        tiles.append((server["asked_cpu_us_per_session"], "µs", f"server CPU a {one}"))
    tiles.append((told["client_cpu_us_per_session"], "µs", f"load generator's CPU a {one}"))
    cells = "".join(
        f"<section><b>{_number(value)}<small> {unit if value is not None else ''}</small></b><span>{label}</span></section>"
        for value, unit, label in tiles
    )
    return f'<div class="figures">{cells}</div>'


def _thresholds(told: dict[str, Any]) -> str:
    rows = [
        [
            escape(_WORDS[one["name"]]),
            f"{'≥' if one['name'] == '--min-achieved' else '≤'} {_shown(one['name'], one['limit'])}",
            _shown(one["name"], one["reached"]),
            f'<span class="{"good" if one["holds"] else "bad"}">{"holds" if one["holds"] else "does not hold"}</span>',
        ]
        for one in told["thresholds"]
    ]
    note = "Of a ramp: at the last step that holds, or at the first if none does."
    return _table(["", "asked", "reached", ""], rows) + (f'<p class="faint">{note}</p>' if told["ramp"] else "")


_WORDS = {
    "--max-p50-ms": "median of a request",
    "--max-p99-ms": "p99 of a request",
    "--max-session-p99-ms": "p99 from the instant due",
    "--max-errors": "failed or never served",
    "--min-achieved": "achieved of the offered rate",
}


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{_number(value)} ms" if name.endswith("-ms") else f"{100 * value:.4g} %"


def _rows(told: dict[str, Any]) -> str:
    heads = ["", "count", "p50 ms", "p95 ms", "p99 ms", "max ms", "failed", "304", "mean bytes"]
    rows = [
        [
            escape(row["name"]),
            f"{row['count']:,}",
            *(_number(row[f"{name}_ms"]) for name in ("p50", "p95", "p99", "max")),
            f'<span class="bad">{row["failed"]:,}</span>' if row["failed"] else "0",
            f"{row['not_modified']:,}" if row["not_modified"] else "",
            _number(row["mean_bytes"]) if row["mean_bytes"] else "",
        ]
        for row in told["rows"]
    ]
    return _table(heads, rows)


def _errors(told: dict[str, Any]) -> str | None:
    if not told["errors"]:
        return None
    rows = [[escape(one["row"]), escape(one["message"]), f"{one['count']:,}"] for one in told["errors"][:50]]
    return _table(["", "", "times"], rows, text=(1,))


def _ramp_table(told: dict[str, Any]) -> str | None:
    if told["ramp"] is None:
        return None
    rows = [
        [
            f"{step['from_s']}–{step['to_s']} s",
            _number(step["offered_per_s"]),
            _number(step["achieved_per_s"]),
            _number(step["p99_ms"]),
            _number(step["session_p99_ms"]),
            f'<span class="{"good" if step["holds"] else "bad"}">{"holds" if step["holds"] else "does not"}</span>',
        ]
        for step in told["ramp"]["steps"]
    ]
    return _table(["", "offered/s", "achieved/s", "p99 ms", f"{told['units'][0]} p99", ""], rows)


def _counts(told: dict[str, Any]) -> str | None:
    rows = [[escape(name), f"{count:,}"] for name, count in sorted(told["counts"].items())]
    rows += [["begun late", f"{told['sessions']['late']:,}"]] if told["sessions"]["late"] else []
    rows += [["kept connections that the target had closed", f"{told['reconnects']:,}"]] if told["reconnects"] else []
    growth = told["server"]["memory_growth_mb_per_h"] if told["server"] is not None and told["shape"] == "soak" else {}
    rows += [
        [f"memory growth, {escape(group)}", f"{_number(mb)} MB/h"] for group, mb in growth.items() if mb is not None
    ]
    return _table(["", ""], rows) if rows else None


def _table(heads: list[str], rows: list[list[str]], text: tuple[int, ...] = ()) -> str:
    def cells(tag: str, values: list[str]) -> str:
        return "".join(
            f"<{tag}{' class=text' if at in text else ''}>{value}</{tag}>" for at, value in enumerate(values)
        )

    head = f"<tr>{cells('th', heads)}</tr>" if any(heads) else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _footer(told: dict[str, Any]) -> str:
    facts = [f"{escape(name)} {escape(value)}" for name, value in told["facts"].items()]
    facts.append(f"seed {told['seed']}, {told['connections']} connections, {told['warm_up_s']:g} s of warm-up")
    openly = "Arrivals are open loop: they come by a seeded plan, however slow the answers."
    return f"<footer>{' · '.join(facts)}. {openly}</footer>"


def _number(value: float | None) -> str:
    """As short as it may be."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.report", description="Draws a report of a load test.")
    parser.add_argument("results", type=Path, help="the JSON file that a run has left")
    parser.add_argument("page", type=Path, help="the HTML file to write")
    args = parser.parse_args()
    args.page.write_text(page(json.loads(args.results.read_text())))


if __name__ == "__main__":
    main()
