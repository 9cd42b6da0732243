"""From OSM extracts to a road graph: Valhalla's programs, run at low priority, with a progress display."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tqdm import tqdm

from mapsvc import spawn
from mapsvc.engines.engine import ENVIRONMENT
from mapsvc.roads.graphs import DESCRIPTION, Description, Graph, building, remove, roads_dir
from mapsvc.roads.pbf import PbfError, check_pbf
from mapsvc.roads.valhalla_files import TILES_DIR, configuration, is_installed, program

NICE = 10  # the service answers meanwhile
TILE_DEG = 0.25  # of the graph's finest level
STAGES = (
    # What valhalla_build_tiles says when it begins with something, and what we call that.
    ("Parsing ways", "reading roads"),
    ("Parsing relations", "reading relations"),
    ("Parsing nodes", "reading nodes"),
    ("Creating graph edges", "making edges"),
    ("Building edge shapes", "laying out edges"),
    ("Enhancing local graph", "speeds and turns"),
    ("HierarchyBuilder", "levels"),
    ("Creating shortcuts", "shortcuts"),
    ("Adding complex turn restrictions", "turn restrictions"),
    ("Validating, finishing", "checking"),
    ("Cleaning up", "cleaning up"),
)


class BuildError(RuntimeError):
    """There is no graph; the message is for the person who asked for it."""


def build(files: Sequence[Path], data_dir: Path, then: Callable[[Graph], None] = lambda _: None) -> Graph:
    """A new graph of these OSM PBF files, beside those that are there. `then` is told of it before another may be built.
    Raises BuildError, and what `then` raises; nothing is left of it then."""
    if not is_installed():
        raise BuildError("Valhalla is not installed; run `make setup`")
    try:
        for path in files:
            check_pbf(path)
    except PbfError as error:
        raise BuildError(str(error)) from None
    try:
        with building(data_dir) as folder:
            graph = _build([path.absolute() for path in files], folder, data_dir)
            try:
                then(graph)
            except BaseException:
                remove(graph)
                raise
            return graph
    except BlockingIOError:
        raise BuildError("another `mapsvc roads` is building on this DATA_DIR") from None
    except OSError as error:
        raise BuildError(f"{error.filename or data_dir}: {error.strerror}") from None


def _build(files: Sequence[Path], folder: Path, data_dir: Path) -> Graph:
    made_at = datetime.now(UTC)
    config = folder / "build.json"
    config.write_text(json.dumps(configuration(folder)))
    edges = 0
    stages = len(STAGES) + 1
    with tqdm(total=stages, disable=None, bar_format="roads: {desc:<20} |{bar}| {elapsed}") as progress:
        progress.set_description_str("borders")
        _run("valhalla_build_admins", config, files, folder, lambda _: None)
        progress.update()

        def hear(line: str) -> None:
            nonlocal edges
            for number, (said, name) in enumerate(STAGES, 1):
                if said in line and number >= progress.n:
                    progress.set_description_str(name)
                    progress.update(number - progress.n)
            if found := re.search(r"Directed Edge Count = (\d+)", line):
                edges = int(found[1])

        _run("valhalla_build_tiles", config, files, folder, hear)
        progress.update(stages - progress.n)
    tiles = [path.relative_to(folder / TILES_DIR) for path in (folder / TILES_DIR).rglob("*.gph")]
    if not edges or not tiles:
        raise BuildError(f"no road that a car may take in {', '.join(map(str, files))}")
    described = Description(
        made_at.strftime("%Y-%m-%dT%H:%M:%SZ"), [path.name for path in files], edges, _bbox(tiles)
    )  # fmt: skip
    config.unlink()
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(described))
    folder.chmod(0o755)
    name = made_at.strftime("%Y%m%dT%H%M%S.%f")
    final = roads_dir(data_dir) / name
    folder.rename(final)
    return Graph(name, final, described)


def _run(name: str, config: Path, files: Sequence[Path], folder: Path, hear: Callable[[str], None]) -> None:
    """One of Valhalla's programs, to its end. `hear` is told what it says, line by line. Raises BuildError."""
    argv = ["nice", f"-n{NICE}", str(program(name)), "-c", str(config), *map(str, files)]
    said: list[str] = []
    process = spawn.spawn(
        argv, deathsig=signal.SIGKILL, log=None, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            said = [*said[-30:], text]
            hear(text)
        code = process.wait()
    finally:
        spawn.kill_tree(process)
    if code:
        raise BuildError(_why(name, code, said, files))


def _why(name: str, code: int, said: Sequence[str], files: Sequence[Path]) -> str:
    """In a sentence, from what the program said last."""
    text = "\n".join(said)
    if found := re.search(r"what\(\):\s*(.*)", text):
        which = files[0] if len(files) == 1 else "one of the files"
        return f"{which} cannot be read: {found[1].strip()}"
    return f"{name} failed ({code}):\n" + "\n".join(said[-5:])


def _bbox(tiles: Sequence[Path]) -> tuple[float, float, float, float]:
    """Of the tiles of the finest level there is: 2/000/804/274.gph is tile 804274 of level 2, counted from the south-west."""
    columns = round(360 / TILE_DEG)
    ids = [int("".join(path.with_suffix("").parts[1:])) for path in tiles if path.parts[0] == "2"]
    if not ids:  # motorways alone: coarse tiles of 4 or 1 degrees
        level, degrees = ("1", 1.0) if any(path.parts[0] == "1" for path in tiles) else ("0", 4.0)
        ids = [int("".join(path.with_suffix("").parts[1:])) for path in tiles if path.parts[0] == level]
        columns = round(360 / degrees)
    else:
        degrees = TILE_DEG
    west, east = min(k % columns for k in ids), max(k % columns for k in ids) + 1
    south, north = min(k // columns for k in ids), max(k // columns for k in ids) + 1
    return west * degrees - 180, south * degrees - 90, east * degrees - 180, north * degrees - 90
