"""`python -m loadtests.bench.roads [quick] [--areas NAME …] [--new-world]`: S10.

Writes var/bench/report/roads-<scale>: table.md, table.json and plots. Exit codes: 0 all was measured, whatever the figures are;
1 an answer was wrong; 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from loadtests.bench import machine, report
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import RESULTS_DIR, Result, WrongAnswerError
from loadtests.bench.roads import areas, beside, drives, valhalla, ways
from loadtests.bench.roads.areas import Area
from loadtests.bench.roads.asking import Others
from loadtests.bench.roads.stand import FULL, QUICK, AreaService, Scale, Stand
from loadtests.bench.service import BENCH_DIR
from loadtests.bench.stage import clock

RIGHT, WRONG, BROKEN = 0, 1, 2
WITHOUT_EXTRACTS = f"There are no extracts in {areas.DATA}: the generated world and its own roads are driven through."
Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench.roads", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("scale", nargs="?", choices=("full", "quick"), default="full")
    parser.add_argument("--areas", nargs="+", help="only these: heidelberg, milan, generated")
    parser.add_argument("--new-world", action="store_true", help="import the stations and build the roads anew")
    args = parser.parse_args(arguments)
    found = areas.found()
    if args.areas:
        found = [one for one in [*found, areas.GENERATED] if one.name in args.areas]
    if not found:
        parser.error(f"--areas: of {', '.join(one.name for one in areas.found())}, {areas.GENERATED.name}")
    return run(QUICK if args.scale == "quick" else FULL, list(dict.fromkeys(found)), new_world=args.new_world)


def run(scale: Scale, some: Sequence[Area], *, new_world: bool) -> int:
    say, results, code = clock(), [], RIGHT
    if areas.found() == [areas.GENERATED]:
        say(WITHOUT_EXTRACTS)
    for number, area in enumerate(some):
        service = AreaService(area, say)
        if new_world:
            service.forget_world()
        with service, Stand(scale, service, say) as stand:
            # Trips, the second half of S10, come here as one more step with a result of its own, on an area of their own.
            steps: list[tuple[str, str, Callable[[Stand, Result], None]]] = [
                (f"S10-{area.name}", f"drive times and routes in {area.title}", _roads),
            ]
            if number == 0:
                steps.append(("S10-beside", f"what routing does to everything else, {area.title}", beside.measure))
            for step, title, measure in steps:
                result, ended = _measured(stand, step, title, measure)
                result.write(RESULTS_DIR / f"roads-{scale.name}")
                results.append(result)
                code = WRONG if WRONG in (code, ended) else code or ended
    title = f"Roads ({scale.name}): {'; '.join(area.title for area in some)}"
    path = report.write(results, machine.describe(), title, BENCH_DIR / "report" / f"roads-{scale.name}")
    say(f"written: {path.relative_to(BENCH_DIR.parents[1])} (table.json and plots beside it)")
    return code


def _roads(stand: Stand, result: Result) -> None:
    drives.measure(stand, result)
    ways.measure(stand, result)
    result.plot(f"{result.step}: one client, one question at a time", "p50 ms", logarithmic=True)


def _measured(stand: Stand, step: str, title: str, measure: Callable[[Stand, Result], None]) -> tuple[Result, int]:
    """And the exit code."""
    result, code, began = Result(step, title), RIGHT, time.monotonic()
    stand.say(step)
    try:
        with Others() as others:
            _conditions(stand, result)
            measure(stand, result)
        result.conditions["cores used by others meanwhile"] = f"{others.cores:.2f} of {os.cpu_count()}"
    except WrongAnswerError as error:
        stand.say(f"WRONG ANSWER in {step}: {error}")
        result, code = _failed(step, f"wrong answer: {error}"), WRONG
    except Exception as error:
        traceback.print_exc()
        result, code = _failed(step, f"{type(error).__name__}: {error}"), BROKEN
    result.took_s = round(time.monotonic() - began, 1)
    for goal in result.goals:
        stand.say(f"{step}: {goal.name}: {goal.told}, wanted {goal.wanted}: {goal.verdict}")
    return result, code


def _conditions(stand: Stand, result: Result) -> None:
    service, graph = stand.service, stand.graph
    result.conditions |= {
        "stations": f"{sum(service.metric('mapsvc_replica_stations').values()):,.0f}",
        "of them beside roads": f"{len(stand.places.ids):,}",
        "roads": f"{graph['edges']:,} edges of {', '.join(graph['sources'])}",
        "Valhalla": f"{valhalla.version(stand.direct)}, niced by the service",
        "load": "one client, one connection, one question at a time",
    }
    if areas.found() == [areas.GENERATED]:
        result.notes.append(WITHOUT_EXTRACTS)
    if service.built_s is not None:
        result.conditions["road graph built in"] = f"{service.built_s:.1f} s"


def _failed(step: str, why: str) -> Result:
    result = Result(step, "not measured")
    result.skip("this step", " ".join(why.split())[:600])
    return result


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends in order: our services stop first
    try:
        sys.exit(main())
    except (ProgramError, KeyboardInterrupt) as error:
        print(f"bench: {str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(BROKEN)
