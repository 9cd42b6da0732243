"""`mapsvc roads FILE.osm.pbf…`: a new road graph, swapped in while the service runs."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from mapsvc.roads import graphs
from mapsvc.roads.build import BuildError, build
from mapsvc.roads.engine import EngineError, Valhalla
from mapsvc.roads.graphs import Graph
from mapsvc.running import is_running, is_starting
from mapsvc.settings import Settings

SWAP_S = 90.0  # that the running service has to answer from the new graph
POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Builds the road graph of one or several OSM extracts that do not overlap, with borders where they hold any, and has "
        "a running `mapsvc up` of this DATA_DIR serve it. Until it answers, and if it cannot be built, the old one is served."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.osm.pbf")


def run(args: argparse.Namespace, settings: Settings) -> int:
    def want(graph: Graph) -> None:
        """Raises BuildError if no Valhalla comes up on it."""
        try:
            asyncio.run(_try(graph))
        except EngineError as error:
            raise BuildError(str(error)) from None
        graphs.want(settings.data_dir, graph)

    try:
        graph = build(args.files, settings.data_dir, want)
    except BuildError as error:
        print(f"mapsvc roads: {error}", file=sys.stderr)
        return 1
    west, south, east, north = graph.description.bbox
    print(f"roads: {graph.description.edges} edges, {west:g} to {east:g} east and {south:g} to {north:g} north")
    if not is_running(settings.data_dir):
        if not is_starting(settings.data_dir):
            graphs.remove_older(settings.data_dir, graph.id)
        print("roads: `mapsvc up` will serve them")
        return 0
    give_up_at = time.monotonic() + SWAP_S
    while time.monotonic() < give_up_at:
        served = graphs.served(settings.data_dir)
        if served is not None and served.graph == graph.id:
            print("roads: the running service routes on them")
            return 0
        time.sleep(POLL_S)
    print(
        f"mapsvc roads: the running service does not serve them after {SWAP_S:.0f} s; see its output", file=sys.stderr
    )
    return 1


async def _try(graph: Graph) -> None:
    """Raises EngineError if no Valhalla comes up on it."""
    with tempfile.TemporaryDirectory(prefix="mapsvc-roads-") as folder:
        engine = Valhalla(graph, Path(folder), Path(folder) / "log")
        await engine.start()
        await engine.stop()
