"""The report's pictures: SVG text, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from math import ceil
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, NullFormatter

INK, FAINT, GRID = "#22303c", "#7b8794", "#e6eaee"
BLUE, TEAL, AMBER, RED, VIOLET, GREY = "#2b6cb0", "#2c9c8f", "#d98a1f", "#c53b3b", "#7a5ba8", "#a3adb8"
GROUP_COLOURS = (BLUE, TEAL, AMBER, VIOLET, "#5a7d2a", "#b0567d", GREY)
WIDE, HIGH = 6.0, 2.4  # inches, of 9-point letters
LOG_FROM = 12.0  # a percentile so many times another needs a logarithmic scale
MINUTES_FROM_S = 600
DASHED: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (3, 2))}
MOST_POINTS = 300  # of a line; what is longer is drawn by the mean of several seconds, p99 by their worst

matplotlib.rcParams.update(
    {
        "svg.fonttype": "path",
        "svg.hashsalt": "load",  # equal data, equal bytes
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": FAINT,
        "axes.edgecolor": GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.solid_capstyle": "round",
    }
)

Numbers = Sequence[float | None]


def rates(told: dict[str, Any]) -> str:
    """Offered and achieved; between them, what was owed."""
    seconds = told["seconds"]
    axes = _over_time(told)
    offered, achieved = _staircase(seconds["offered"]), _staircase(seconds["achieved"])
    axes.fill_between(*achieved, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(*achieved, color=BLUE, label="achieved")
    axes.plot(*offered, **DASHED, label="offered")
    axes.set_ylim(0, 1.12 * max([1, *offered[1], *achieved[1]]))
    return _finish(axes, f"{told['units'][1]} per second")


def percentiles(told: dict[str, Any], kind: str, limit_ms: float | None) -> str:
    """p50, p95 and p99 of requests or sessions, and the threshold if there is one."""
    axes = _over_time(told)
    lines = {name: _line(told["seconds"][f"{kind}_{name}_ms"], worst=name == "p99") for name in ("p50", "p95", "p99")}
    at = lines["p50"][0]
    axes.fill_between(at, lines["p50"][1], lines["p99"][1], color=BLUE, alpha=0.08, linewidth=0)
    for name, colour in (("p99", RED), ("p95", AMBER), ("p50", BLUE)):
        axes.plot(*lines[name], color=colour, label=name, marker="o" if len(at) == 1 else None)
    _limit(axes, limit_ms)
    _milliseconds(axes, [value for _, values in lines.values() for value in values if value == value])
    return _finish(axes, "milliseconds")


def troubles(told: dict[str, Any]) -> str | None:
    """Sessions that failed, and those begun late; None when there were none."""
    seconds = told["seconds"]
    if not any(seconds["failed"]) and not any(seconds["late"]):
        return None
    axes = _over_time(told)
    (at, failed), (_, late) = _line(seconds["failed"]), _line(seconds["late"])
    width = 0.9 * (at[1] - at[0] if len(at) > 1 else 1.0)
    axes.bar(at, failed, width=width, color=RED, label="failed")
    axes.bar(at, late, width=width, bottom=failed, color=AMBER, alpha=0.55, label="begun late")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return _finish(axes, f"{told['units'][1]} per second")


def by_request(told: dict[str, Any]) -> str | None:
    """From p50 to p99 of every row, p95 between them."""
    rows = [row for row in told["rows"] if row["p50_ms"] is not None][::-1]
    if not rows:
        return None
    _, axes = plt.subplots(figsize=(WIDE, 0.9 + 0.24 * max(4, len(rows))), layout="constrained")
    for at, row in enumerate(rows):
        axes.plot([row["p50_ms"], row["p99_ms"]], [at, at], color=BLUE, alpha=0.25, linewidth=6)
    for name, colour in (("p50", BLUE), ("p95", AMBER), ("p99", RED)):
        axes.plot([row[f"{name}_ms"] for row in rows], range(len(rows)), "o", color=colour, markersize=5, label=name)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xscale("log")
    _plain_log(axes.xaxis)
    return _finish(axes, None, "milliseconds, logarithmic")


def cpu(told: dict[str, Any]) -> str | None:
    """Cores in use by group of processes, one on the other; beside them the load generators'."""
    server = told["server"]
    if server is None or not server["cores"]:
        return None
    axes = _over_time(told)
    groups = _by_size(server["cores"])
    stacked = [[_zero(value) for value in _reduced(server["cores"][group])] for group in groups]
    colours = GROUP_COLOURS[: len(groups)]
    axes.stackplot(
        _reduced(server["at_s"]), *stacked, labels=groups, colors=colours, alpha=0.75, linewidth=0, step="pre"
    )
    axes.plot(*_staircase(told["seconds"]["client_cores"]), **DASHED, label="load generators")
    axes.set_ylim(bottom=0)
    return _finish(axes, "cores in use")


def memory(told: dict[str, Any]) -> str | None:
    server = told["server"]
    if server is None or not any(any(values) for values in server["memory_mb"].values()):
        return None
    axes = _over_time(told)
    for group, colour in zip(_by_size(server["memory_mb"]), GROUP_COLOURS * 3, strict=False):
        axes.plot(_reduced(server["at_s"]), _reduced(server["memory_mb"][group]), color=colour, label=group)
    axes.set_ylim(0, 1.15 * max(max(values) for values in server["memory_mb"].values()))
    return _finish(axes, "resident MB")


def lag(told: dict[str, Any]) -> str | None:
    server = told["server"]
    if server is None or all(value is None for value in server["lag_ms"]):
        return None
    axes = _over_time(told)
    at, values = _reduced(server["at_s"]), _reduced(server["lag_ms"], worst=True)
    axes.fill_between(at, values, color=TEAL, alpha=0.12, linewidth=0)
    axes.plot(at, values, color=TEAL)
    axes.set_ylim(bottom=0)
    return _finish(axes, "milliseconds behind, the worst replica", legend=False)


def ramp(told: dict[str, Any]) -> str | None:
    """Achieved over offered, step by step, and the p99 of sessions beside it."""
    if told["ramp"] is None:
        return None
    found = told["ramp"]["steps"]
    _, axes = plt.subplots(figsize=(WIDE, HIGH), layout="constrained")
    offered, achieved = ([step[name] for step in found] for name in ("offered_per_s", "achieved_per_s"))
    axes.plot([0, max(offered)], [0, max(offered)], color=GREY, linewidth=1, linestyle=(0, (3, 2)), label="all of it")
    axes.plot(offered, achieved, color=BLUE, marker="o", label="achieved")
    if (knee := told["ramp"]["knee"]) is not None:
        height = knee["achieved_per_s"]
        axes.axhline(height, color=TEAL, linewidth=1)
        axes.annotate(f"knee {height:g}/s", (0, height), xytext=(4, 4), textcoords="offset points", color=TEAL)
    axes.set_xlim(0, 1.05 * max(offered))
    axes.set_ylim(0, 1.12 * max(*offered, *achieved, 1))
    beside = axes.twinx()
    beside.grid(visible=False)
    beside.plot(offered, [_nan(step["session_p99_ms"]) for step in found], color=RED, marker=".", label="p99, ms")
    beside.set_yscale("log")
    _plain_log(beside.yaxis)
    beside.tick_params(axis="y", labelcolor=RED)
    handles = [*axes.get_legend_handles_labels()[0], *beside.get_legend_handles_labels()[0]]
    return _finish(axes, f"{told['units'][1]} per second", "offered per second", handles=handles)


# -- parts --------------------------------------------------------------------------------------------------------------------


def _over_time(told: dict[str, Any]) -> Axes:
    _, axes = plt.subplots(figsize=(WIDE, HIGH), layout="constrained")
    seconds = max(1, len(told["seconds"]["offered"]))
    axes.set_xlim(0, seconds)
    if seconds > MINUTES_FROM_S:
        axes.xaxis.set_major_locator(MultipleLocator(60 * ceil(seconds / 60 / 9)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 60:g}"))
        axes.set_xlabel("minutes")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
        axes.set_xlabel("seconds")
    axes.grid(axis="x", visible=False)
    return axes


def _finish(
    axes: Axes,
    y_label: str | None,
    x_label: str | None = None,
    *,
    legend: bool = True,
    handles: list[Any] | None = None,
) -> str:
    figure = axes.get_figure(root=True)
    assert figure is not None
    if x_label:
        axes.set_xlabel(x_label)
    if y_label:
        axes.set_title(y_label, loc="left", fontsize=9, color=FAINT)
    if legend:
        axes.legend(
            handles=handles or axes.get_legend_handles_labels()[0],
            loc="lower right", bbox_to_anchor=(1.01, 0.98), ncols=8, columnspacing=1.2, handlelength=1.4,
        )  # fmt: skip
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    plt.close("all")
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    for size in ("width", "height"):  # as wide as its place
        svg = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", svg, count=1)
    return svg


def _reduced(values: Numbers, *, worst: bool = False) -> list[float]:
    """At most MOST_POINTS: each the mean, or the largest, of as many as it stands for."""
    size = ceil(len(values) / MOST_POINTS) or 1
    parts = [[value for value in values[at : at + size] if value is not None] for at in range(0, len(values), size)]
    return [(max(part) if worst else sum(part) / len(part)) if part else float("nan") for part in parts]


def _line(values: Numbers, *, worst: bool = False) -> tuple[list[float], list[float]]:
    """A value for each second, at its middle; of a long run, for several."""
    size = ceil(len(values) / MOST_POINTS) or 1
    reduced = _reduced(values, worst=worst)
    return [size * (index + 0.5) for index in range(len(reduced))], reduced


def _staircase(values: Numbers) -> tuple[list[float], list[float]]:
    """What was counted in each second, as it was: the same all through it."""
    at, reduced = _line(values)
    half = at[0] if at else 0.0
    return [edge for middle in at for edge in (middle - half, middle + half)], [
        value for value in reduced for _ in range(2)
    ]


def _limit(axes: Axes, limit_ms: float | None) -> None:
    if limit_ms is not None:
        axes.axhline(limit_ms, color=RED, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(f"threshold of p99: {limit_ms:g} ms", (1, limit_ms), xycoords=("axes fraction", "data"), ha="right",
                      xytext=(0, 3), textcoords="offset points", color=RED, fontsize=8)  # fmt: skip


def _milliseconds(axes: Axes, values: Sequence[float]) -> None:
    if values and max(values) > LOG_FROM * min(values):
        axes.set_yscale("log")
        _plain_log(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)


def _plain_log(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _by_size(groups: dict[str, Numbers]) -> list[str]:
    return sorted(groups, key=lambda group: -sum(_zero(value) for value in groups[group]))


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _zero(value: float | None) -> float:
    """For what is summed: nothing where nothing is known."""
    return 0.0 if value is None or value != value else value
