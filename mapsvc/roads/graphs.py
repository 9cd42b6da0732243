"""The road graphs on disk, and the note that says which one is served where.

DATA_DIR/roads/<id>/    a graph: Valhalla's tiles, its admin database, and `graph.json`; never changed once it is there
DATA_DIR/roads/current  the id of the graph that is wanted; replaced as a whole, by `mapsvc roads`
run folder/roads.json   the graph that is served, and where; written by the keeper (mapsvc/roads/keeper.py), read by workers
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mapsvc.settings import run_dir

DESCRIPTION = "graph.json"


class Description(msgspec.Struct, frozen=True):
    """What is known of a graph. `bbox`: west, south, east, north, degrees, of its tiles of a quarter degree."""

    built_at: str
    sources: list[str]
    edges: int
    bbox: tuple[float, float, float, float]


class Graph(msgspec.Struct, frozen=True):
    id: str
    folder: Path
    description: Description


class Served(msgspec.Struct, frozen=True):
    """A Valhalla that answers."""

    url: str
    graph: str
    bbox: tuple[float, float, float, float]


def roads_dir(data_dir: Path) -> Path:
    return data_dir / "roads"


def wanted(data_dir: Path) -> Graph | None:
    """The graph that is to be served; None: there is none."""
    try:
        name = (roads_dir(data_dir) / "current").read_text().strip()
        folder = roads_dir(data_dir) / name
        return Graph(name, folder, msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=Description))
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def want(data_dir: Path, graph: Graph) -> None:
    _replace(roads_dir(data_dir) / "current", graph.id.encode())


def remove_older(data_dir: Path, graph_id: str) -> None:
    """Graphs that were built before this one."""
    for folder in roads_dir(data_dir).iterdir():
        if folder.is_dir() and folder.name < graph_id:  # ids are instants; one that is being built is called otherwise
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def building(data_dir: Path) -> Iterator[Path]:
    """An empty folder beside the graphs, removed unless it was renamed. Raises BlockingIOError: another build runs."""
    roads = roads_dir(data_dir)
    roads.mkdir(parents=True, exist_ok=True)
    with (roads / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in roads.glob("building-*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="building-", dir=roads))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove(graph: Graph) -> None:
    shutil.rmtree(graph.folder, ignore_errors=True)


# -- what is served -------------------------------------------------------------------------------------------------------


def served_note(data_dir: Path) -> Path:
    return run_dir(data_dir) / "roads.json"


def served(data_dir: Path) -> Served | None:
    with suppress(OSError, ValueError, msgspec.MsgspecError):
        return msgspec.json.decode(served_note(data_dir).read_bytes(), type=Served)
    return None


def note_served(data_dir: Path, what: Served | None) -> None:
    if what is None:
        served_note(data_dir).unlink(missing_ok=True)
    else:
        _replace(served_note(data_dir), msgspec.json.encode(what))


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old content or the new."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)  # whoever may read the graph may read which one it is
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
