"""Plots of results as SVG: bars with the range of the rounds, or lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from loadtests.bench.results import Plot, Result
from loadtests.bench.stats import readable

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mapsvc", "font.size": 9, "axes.spines.top": False,
                     "axes.spines.right": False})  # fmt: skip

from matplotlib import pyplot as plt  # noqa: E402 (after the backend is chosen: there may be no display)

OURS, THEIRS = "#1b7f5c", "#9aa5ad"
WIDTH_IN = 7.5
BAR_IN = 0.34


def draw(result: Result, plot: Plot, path: Path) -> Path:
    figure, axes = plt.subplots(layout="constrained")
    if plot.series:
        for name, points in plot.series.items():
            axes.plot([x for x, _ in points], [y for _, y in points], label=name)
        axes.legend(frameon=False)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.figure)
        figure.set_size_inches(WIDTH_IN, 3.2)
    else:
        _bars(axes, result, plot)
        figure.set_size_inches(WIDTH_IN, 1.0 + BAR_IN * max(1, len(axes.get_yticks())))
    axes.set_title(plot.title, loc="left", fontsize=10)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _bars(axes: Any, result: Result, plot: Plot) -> None:
    """One a row that has the figure, the first on top; ours stand out. On a logarithmic axis dots: a bar's length would say
    nothing there."""
    rows = [(row.name, _range(row.figures[plot.figure])) for row in result.rows if plot.figure in row.figures]
    for at, (name, (low, median, high)) in enumerate(rows):
        ours = name.startswith("ours") or not any(one.startswith("ours") for one, _ in rows)
        colour = OURS if ours else THEIRS
        if plot.logarithmic:
            axes.plot([low, high], [at, at], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt")
            axes.plot([median], [at], "o", color=colour)
        else:
            axes.barh(at, median, color=colour, xerr=[[median - low], [high - median]], ecolor="#333333")
        axes.annotate(readable(median), (high, at), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel(plot.figure)
    axes.margins(x=0.12)
    if plot.logarithmic and rows:
        axes.set_xscale("log")
        axes.grid(axis="x", alpha=0.3)


def _range(figure: Mapping[str, float] | float) -> tuple[float, float, float]:
    if isinstance(figure, Mapping):
        return figure["low"], figure["median"], figure["high"]
    return figure, figure, figure
