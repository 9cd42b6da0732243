"""`python -m loadtests.bench.page [quick] [--new-world]`: S11.

Writes var/bench/report/page-<scale>: table.md, table.json and plots. Exit codes: 0 all was measured, whatever the figures are;
1 the page drew something else than the API tells; 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence

from loadtests.bench import machine, report
from loadtests.bench.page import visits
from loadtests.bench.page.browsing import CHROMIUM
from loadtests.bench.page.visits import FULL, QUICK, Scale
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import RESULTS_DIR, Result, WrongAnswerError
from loadtests.bench.roads.areas import GENERATED
from loadtests.bench.roads.asking import Others
from loadtests.bench.roads.stand import AreaService
from loadtests.bench.service import BENCH_DIR
from loadtests.bench.stage import clock

RIGHT, WRONG, BROKEN = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.page", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scale", nargs="?", choices=("full", "quick"), default="full")
    parser.add_argument("--new-world", action="store_true", help="generate the stations and build the roads anew")
    args = parser.parse_args(arguments)
    if CHROMIUM is None:
        parser.error("needs Debian's chromium: deploy/setup.sh test")
    return run(QUICK if args.scale == "quick" else FULL, new_world=args.new_world)


def run(scale: Scale, *, new_world: bool) -> int:
    say, result, code, began = clock(), Result("S11", "the map page in headless Chromium"), RIGHT, time.monotonic()
    service = AreaService(GENERATED, say)
    if new_world:
        service.forget_world()
    with service:
        try:
            with Others() as others:
                asyncio.run(visits.measure(service, scale, result, say))
            result.conditions["cores used by others meanwhile"] = f"{others.cores:.2f} of {os.cpu_count()}"
        except WrongAnswerError as error:
            say(f"WRONG ANSWER: {error}")
            result.skip("the rest", f"wrong answer: {error}")
            code = WRONG
        except Exception as error:
            traceback.print_exc()
            result.skip("the rest", f"{type(error).__name__}: {' '.join(str(error).split())[:400]}")
            code = BROKEN
    result.took_s = round(time.monotonic() - began, 1)
    for goal in result.goals:
        say(f"S11: {goal.name}: {goal.told}, wanted {goal.wanted}: {goal.verdict}")
    result.write(RESULTS_DIR / f"page-{scale.name}")
    folder = BENCH_DIR / "report" / f"page-{scale.name}"
    path = report.write([result], machine.describe(), f"The map page ({scale.name})", folder)
    say(f"written: {path.relative_to(BENCH_DIR.parents[1])} (table.json and plots beside it)")
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in order: our service stops first
    try:
        sys.exit(main())
    except (ProgramError, KeyboardInterrupt) as error:
        print(f"bench: {str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(BROKEN)
