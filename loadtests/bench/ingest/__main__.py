"""`python -m loadtests.bench.ingest [quick] [--steps S5 S6] [--seconds N] [--rate N] [--stations N]`: S5 and S6.

Writes var/bench/report/ingest-<scale>: table.md, table.json and plots. Exit codes: 0 all was measured, whatever the figures
are; 1 an answer was wrong, or an update that was acknowledged as applied is not in the history; 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from loadtests.bench import machine, report
from loadtests.bench.ingest import s5, s6
from loadtests.bench.ingest.stand import FULL, QUICK, Scale, Stand, world_name
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import RESULTS_DIR, Result, WrongAnswerError
from loadtests.bench.service import BENCH_DIR, Service
from loadtests.bench.stage import clock

STEPS: dict[str, Callable[[Stand], list[Result]]] = {"S6": s6.measure, "S5": s5.measure}  # the longest last
RIGHT, WRONG, BROKEN = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench.ingest", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("scale", nargs="?", choices=("full", "quick"), default="full")
    parser.add_argument("--steps", nargs="+", choices=sorted(STEPS), help="only these")
    parser.add_argument("--seconds", type=float, help="how long S5's updates go in (full: 600, quick: 30)")
    parser.add_argument("--rate", type=float, help="S5's updates a second (20,000)")
    parser.add_argument("--stations", type=int, help="another size of the world than the scale's")
    args = parser.parse_args(arguments)
    scale = QUICK if args.scale == "quick" else FULL
    changes = {name: value for name in ("seconds", "rate", "stations") if (value := getattr(args, name)) is not None}
    return run(dataclasses.replace(scale, **changes), args.steps or list(STEPS))


def run(scale: Scale, steps: Sequence[str]) -> int:
    say, results, code = clock(), [], RIGHT
    with Service(scale.stations, workers=scale.workers, name=world_name(scale), say=say) as service:
        stand = Stand(scale, service, say)
        stand.prepare()
        for step in [name for name in STEPS if name in steps]:
            say(step)
            began = time.monotonic()
            try:
                found = STEPS[step](stand)
            except WrongAnswerError as error:
                say(f"WRONG ANSWER in {step}: {error}")
                found, code = [_failed(step, f"wrong answer: {error}")], WRONG
            except Exception as error:
                traceback.print_exc()
                found, code = [_failed(step, f"{type(error).__name__}: {error}")], code or BROKEN
            for result in found:
                result.took_s = round(time.monotonic() - began, 1)
                result.write(RESULTS_DIR / f"ingest-{scale.name}")
                for goal in result.goals:
                    say(f"{result.step}: {goal.name}: {goal.told}, wanted {goal.wanted}: {goal.verdict}")
            results += found
    results.sort(key=lambda result: result.step)
    title = f"Updates in and seen ({scale.name}): {scale.stations:,} stations, {3 * scale.stations:,} EVSEs"
    path = report.write(results, machine.describe(), title, BENCH_DIR / "report" / f"ingest-{scale.name}")
    say(f"written: {path.relative_to(BENCH_DIR.parents[1])} (table.json and plots beside it)")
    return code


def _failed(step: str, why: str) -> Result:
    result = Result(step, "not measured")
    result.skip("this step", " ".join(why.split())[:600])
    return result


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ProgramError, KeyboardInterrupt) as error:
        print(f"bench: {error or 'interrupted'}", file=sys.stderr)
        sys.exit(BROKEN)
