"""One run from survey to verdict, in the process that directs the load generators (Locust's master, or the only process).

prepare ──► (Locust spawns the connections) ──► start ──► collect frames, scrape the target ──► finish
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Any

from loadtests import results
from loadtests.generator import DRAIN_S, plan_of
from loadtests.lean import PATIENCE_S, Target
from loadtests.mixes import Material
from loadtests.options import Options
from loadtests.recorder import Frame
from loadtests.server_metrics import Scraper
from loadtests.timeline import Timeline

HEADWAY_S = 0.5  # from the order to start until time 0: it has to reach every load generator
LONGEST_S = DRAIN_S + PATIENCE_S + 2.0  # after the plan's end: by then the last session has been given up
PROGRESS_S = 5

Survey = Callable[[Target, Options], Material]
Say = Callable[[str], None]


class Controller:
    """`generators`: their names; frames come under them."""

    def __init__(self, options: Options, url: str, generators: Sequence[str], survey: Survey, say: Say) -> None:
        """Surveys the target. Raises SurveyError, ValueError or OSError."""
        self.options, self.url = options, url
        self.plan = plan_of(options)
        self.offered = self.plan.offered()
        self.timeline = Timeline(ceil(options.duration_s))
        self._generators = list(generators)
        self._finished: set[str] = set()
        self._say = say
        self._admin = Target.of(options.admin_url) if options.admin_url else None
        self._zero_epoch_s: float | None = None
        self._told_s = 0
        self._scraper: Scraper | None = None
        self._started_at = ""
        say(f"load: asking {url} what there is")
        self.material = survey(Target.of(url), options)

    def start(self) -> float:
        """All connections stand: the instant, by the wall clock, that is time 0 of the plan."""
        zero_epoch_s = time.time() + HEADWAY_S + self.options.warm_up
        self._zero_epoch_s = zero_epoch_s
        self._started_at = datetime.fromtimestamp(zero_epoch_s, UTC).isoformat(timespec="seconds")
        if self._admin is not None:
            self._scraper = Scraper(self._admin, zero_epoch_s)
        return zero_epoch_s

    @property
    def started(self) -> bool:
        return self._zero_epoch_s is not None

    @property
    def elapsed_s(self) -> float:
        return -1.0 if self._zero_epoch_s is None else time.time() - self._zero_epoch_s

    def collect(self, generator: str, frames: Sequence[Frame], finished: bool) -> None:
        for frame in frames:
            self.timeline.add(frame)
        if finished:
            self._finished.add(generator)

    def over(self) -> bool:
        """Whether there is nothing more to wait for. Called about once a second; says how it goes now and then."""
        if not self.started:
            return False
        elapsed_s = self.elapsed_s
        self._say_progress()
        if elapsed_s > self.options.duration_s and self._finished.issuperset(self._generators):
            return True
        if elapsed_s > self.options.duration_s + LONGEST_S:
            self._say("load: not all load generators have said that they are done")
            return True
        return self._past_the_knee()

    def finish(self) -> dict[str, Any]:
        """The results, judged. Users have stopped."""
        if self._scraper is not None:
            self._scraper.stop()
            if self._scraper.error:
                self._say(f"load: {self.options.admin_url}/metrics: {self._scraper.error}")
        complete = self.elapsed_s > self.options.duration_s
        return results.compile_results(
            results.Run(
                self.options,
                self.url,
                self.plan,
                self.offered,
                self.timeline,
                self._scraper.samples if self._scraper is not None else (),
                len(self._generators),
                self._started_at,
                None if complete else max(0, self._known_s()),
                facts(),
            )
        )

    def _known_s(self) -> int:
        """Seconds of which all load generators have told."""
        told = [second.reported >= len(self._generators) for second in self.timeline.seconds]
        return told.index(False) if False in told else len(told)

    def _past_the_knee(self) -> bool:
        if self.options.shape != "ramp":
            return False
        found = results.steps(self.options, self.plan, self.offered, self.timeline, self._known_s())
        if found and not found[-1].holds:
            self._say(f"load: {found[-1].rate:g}/s does not hold; the ramp ends")
            return True
        return False

    def _say_progress(self) -> None:
        known = self._known_s()
        if known < self._told_s + PROGRESS_S:
            return
        seen, due = self.timeline.between(self._told_s, known), sum(self.offered[self._told_s : known])
        length = known - self._told_s
        p99 = seen.requests.quantile_s(0.99)
        self._told_s = known
        self._say(
            f"load: {known:4d} s  offered {due / length:.0f}/s  achieved {seen.done / length:.0f}/s  failed {seen.failed}"
            f"  late {seen.late}" + ("" if p99 is None else f"  p99 of a request {1000 * p99:.1f} ms")
        )


def facts() -> dict[str, str]:
    """What the load came from."""
    return {
        "load generator": f"{platform.platform()}, Python {platform.python_version()}",
        "locust": metadata.version("locust"),
        "gevent": metadata.version("gevent"),
    }


def write(told: dict[str, Any], folder: Path) -> Path:
    """The results as JSON, and the report beside it; the report's path. The drawing is done by a process of its own: it takes
    seconds and 100 MB that a load generator has no use for."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    base = folder / f"{stamp}-{told['mix']}-{told['shape']}"
    data, page = base.with_suffix(".json"), base.with_suffix(".html")
    data.write_text(json.dumps(told, indent=1) + "\n")
    subprocess.run([sys.executable, "-m", "loadtests.report", str(data), str(page)], check=True)  # noqa: S603
    return page


def summary(told: dict[str, Any]) -> list[str]:
    """The run in a few lines."""
    sessions = told["sessions"]
    lines = [
        f"load: {told['mix']}, {told['shape']}: offered {sessions['offered_per_s']}/s, achieved {sessions['achieved_per_s']}/s;"
        f" {sessions['completed']} served, {sessions['failed']} failed, {sessions['never_served']} never served,"
        f" {sessions['late']} begun late"
    ]
    for row in told["rows"]:
        times = "  ".join(f"{name} {row[f'{name}_ms']} ms" for name in ("p50", "p95", "p99", "max"))
        lines += [f"load: {row['name']:24s} {times}"]
    lines += [f"load: {one['count']} × {one['row']}: {one['message']}" for one in told["errors"][:10]]
    if told["ramp"]:
        knee = told["ramp"]["knee"]
        where = f"the knee is at {knee['achieved_per_s']}/s" if knee else "not even the ramp's first step held"
        lines.append(f"load: {where}")
    if told["client_was_busy"]:
        lines.append("load: the load generators used more than 90 % of their cores: these figures may be theirs")
    lines += [
        f"load: {one['name']} {one['limit']:g}: {'holds' if one['holds'] else 'FAILED'}, reached"
        f" {'nothing' if one['reached'] is None else one['reached']}"
        for one in told["thresholds"]
    ]
    lines.append(f"load: {'passed' if told['passed'] else 'FAILED'}")
    return lines
