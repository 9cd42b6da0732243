"""`python -m loadtests.bench [quick] [--steps S1 S2 …]`: runs the steps and writes var/bench/report.

Exit codes: 0 all was measured, whatever the figures are; 1 an answer was wrong; 2 a step could not be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from loadtests.bench import machine, report
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import RESULTS_DIR, Result, WrongAnswerError
from loadtests.bench.service import BENCH_DIR, Service
from loadtests.bench.stage import FULL, QUICK, Scale, Stage, clock
from loadtests.bench.steps import growth, hot_tile, nearby, sessions, start, tiles, workers

STEPS: dict[str, Callable[[Stage], Result]] = {
    "S1": hot_tile.measure,
    "S2": nearby.measure,
    "S3": tiles.measure,
    "S4": sessions.measure,
    "S7": start.measure,
    "S8": workers.measure,
    "S9": growth.measure,  # last: it writes into the world
}
OF_QUICK = ("S1", "S2", "S3", "S4")
RIGHT, WRONG, BROKEN = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scale", nargs="?", choices=("full", "quick"), default="full")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), help="only these")
    parser.add_argument("--stations", type=int, help="another size of the world than the scale's")
    parser.add_argument("--new-world", action="store_true", help="make the world anew, to measure that too (S7)")
    args = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("bench: wrk is missing: sudo apt-get install --no-install-recommends wrk", file=sys.stderr)
        return BROKEN
    scale, steps = (QUICK, OF_QUICK) if args.scale == "quick" else (FULL, tuple(STEPS))
    if args.stations:
        scale = dataclasses.replace(scale, stations=args.stations)
    return run(scale, args.steps or steps, new_world=args.new_world)


def run(scale: Scale, steps: Sequence[str], *, new_world: bool) -> int:
    say, results, code = clock(), [], RIGHT
    results_dir = RESULTS_DIR / scale.name
    own = Service(scale.stations, say=say)
    if new_world:
        own.forget_world()
    with own as service:
        stage = Stage(scale, service, say)
        for number, step in enumerate(steps, 1):
            say(f"{step} ({number} of {len(steps)})")
            began = time.monotonic()
            try:
                result = STEPS[step](stage)
            except WrongAnswerError as error:
                say(f"WRONG ANSWER in {step}: {error}")
                result, code = _failed(step, f"wrong answer: {error}"), WRONG
            except Exception as error:
                traceback.print_exc()
                result, code = _failed(step, f"{type(error).__name__}: {error}"), code or BROKEN
            result.took_s = round(time.monotonic() - began, 1)
            result.write(results_dir)
            results.append(result)
            _tell(result, say)
    title = f"Side-by-side benchmark ({scale.name}): {scale.stations:,} stations, {3 * scale.stations:,} EVSEs"
    path = report.write(results, machine.describe(), title, BENCH_DIR / "report" / scale.name)
    say(f"written: {path.relative_to(BENCH_DIR.parents[1])} (table.json and plots beside it)")
    return code


def _failed(step: str, why: str) -> Result:
    result = Result(step, "not measured")
    result.skip("this step", " ".join(why.split())[:600])
    return result


def _tell(result: Result, say: Callable[[str], None]) -> None:
    for row in result.rows:
        if row.skipped:
            say(f"{result.step}: {row.name}: not measured: {row.skipped}")
    for goal in result.goals:
        say(f"{result.step}: {goal.name}: {goal.told}, wanted {goal.wanted}: {goal.verdict}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in order: our services and peers stop first
    try:
        sys.exit(main())
    except (ProgramError, KeyboardInterrupt) as error:
        print(f"bench: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(BROKEN)
