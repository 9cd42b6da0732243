"""Graphs on disk, what a build says when there is none, and the keeper of the process that serves one: with programs of a few
lines in place of Valhalla's. With the real ones: tests/e2e/test_roads.py."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cache.tasks import end
from mapsvc.roads import build as builds
from mapsvc.roads import command, graphs
from mapsvc.roads import keeper as keepers
from mapsvc.roads.build import BuildError, build
from mapsvc.roads.engine import EngineError
from mapsvc.roads.graphs import DESCRIPTION, Description, Graph, Served, building, roads_dir
from mapsvc.roads.keeper import Keeper
from mapsvc.settings import Settings, run_dir
from tests.mapsvc.roads.test_pbf import DATA, HEAD

TOLD = Description("2026-11-28T12:00:00Z", ["a.osm.pbf"], 7, (7.5, 49.25, 9.25, 49.75))


def make(data_dir: Path, name: str) -> Graph:
    folder = roads_dir(data_dir) / name
    folder.mkdir(parents=True)
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(TOLD))
    return Graph(name, folder, TOLD)


def there(data_dir: Path) -> list[str]:
    return sorted(path.name for path in roads_dir(data_dir).iterdir())


# -- on disk --------------------------------------------------------------------------------------------------------------


def test_the_graph_that_is_wanted_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert graphs.wanted(tmp_path) is None
    for name in ("1", "2"):
        graph = make(tmp_path, name)
        graphs.want(tmp_path, graph)
        assert graphs.wanted(tmp_path) == graph
    assert there(tmp_path) == ["1", "2", "current"]  # no half-written file beside it


@pytest.mark.parametrize("content", [b"", b"gone", b"broken", b"."])
def test_a_graph_that_is_not_there_is_not_wanted(tmp_path: Path, content: bytes) -> None:
    (make(tmp_path, "broken").folder / DESCRIPTION).write_bytes(b'{"edges":')
    (roads_dir(tmp_path) / "current").write_bytes(content)
    assert graphs.wanted(tmp_path) is None


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b"])
def test_a_note_that_is_damaged_names_no_graph(tmp_path: Path, content: bytes) -> None:
    roads_dir(tmp_path).mkdir()
    (roads_dir(tmp_path) / "current").write_bytes(content)
    assert graphs.wanted(tmp_path) is None


def test_whoever_may_read_the_graph_may_read_which_one_is_wanted(tmp_path: Path) -> None:
    """Built by one account, served by another: `build` opens the folder for that."""
    graphs.want(tmp_path, make(tmp_path, "1"))
    assert (roads_dir(tmp_path) / "current").stat().st_mode & 0o044 == 0o044


def test_older_graphs_go_and_nothing_else(tmp_path: Path) -> None:
    for name in ("20261128T120000.000001", "20261128T120000.000002", "20261128T120000.000003", "building-x"):
        make(tmp_path, name)
    graphs.want(tmp_path, Graph("20261128T120000.000002", tmp_path, TOLD))
    graphs.remove_older(tmp_path, "20261128T120000.000002")
    assert there(tmp_path) == ["20261128T120000.000002", "20261128T120000.000003", "building-x", "current"]


def test_one_builds_at_a_time_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    make(tmp_path, "building-killed")
    make(tmp_path, "20261128T120000.000001")
    with building(tmp_path) as folder:
        assert list(folder.iterdir()) == []
        assert there(tmp_path) == ["20261128T120000.000001", folder.name, "lock"]
        with pytest.raises(BlockingIOError), building(tmp_path):
            pass
        (folder / "tile").write_bytes(b"x")
    assert there(tmp_path) == ["20261128T120000.000001", "lock"]
    with pytest.raises(RuntimeError), building(tmp_path):
        raise RuntimeError
    with building(tmp_path) as folder:
        folder.rename(roads_dir(tmp_path) / "20261128T120000.000002")
    assert there(tmp_path) == ["20261128T120000.000001", "20261128T120000.000002", "lock"]


def test_the_note_of_what_is_served_is_read_as_it_was_written(tmp_path: Path) -> None:
    run_dir(tmp_path).mkdir(parents=True)
    graphs.note_served(tmp_path, None)
    assert graphs.served(tmp_path) is None
    told = Served("http://127.0.0.1:1", "1", TOLD.bbox)
    graphs.note_served(tmp_path, told)
    assert graphs.served(tmp_path) == told
    assert [path.name for path in run_dir(tmp_path).iterdir()] == ["roads.json"]
    (run_dir(tmp_path) / "roads.json").write_bytes(b"{}")
    assert graphs.served(tmp_path) is None
    graphs.note_served(tmp_path, None)
    assert graphs.served(tmp_path) is None


# -- building -------------------------------------------------------------------------------------------------------------


class Programs:
    """In place of Valhalla's: each a few lines of shell that get `-c CONFIG FILE…`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admins = "true"
        self.tiles = 'mkdir -p tiles/2/000/804 && touch tiles/2/000/804/274.gph; echo "[INFO] Directed Edge Count = 7"'

    def program(self, name: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{self.admins if 'admins' in name else self.tiles}\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs(tmp_path_factory.mktemp("programs"))
    monkeypatch.setattr(builds, "program", made.program)
    monkeypatch.setattr(builds, "is_installed", lambda: True)
    monkeypatch.setattr(builds, "configuration", lambda folder: {"folder": str(folder)})
    return made


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "there.osm.pbf"
    path.write_bytes(HEAD + DATA)
    return path


def why_not(files: list[Path], data_dir: Path) -> str:
    """And nothing is left of it."""
    with pytest.raises(BuildError) as failure:
        build(files, data_dir)
    if roads_dir(data_dir).exists():
        assert there(data_dir) in ([], ["lock"])
    return str(failure.value)


def test_a_build_makes_a_graph_beside_those_that_are_there(programs: Programs, extract: Path, tmp_path: Path) -> None:
    made = [build([extract], tmp_path), build([extract], tmp_path)]
    assert made[0].id < made[1].id
    for graph in made:
        assert graph.description.edges == 7 and graph.description.sources == ["there.osm.pbf"]
        assert graph.description.bbox == (8.5, 49.5, 8.75, 49.75)  # of tile 804274
        assert sorted(path.name for path in graph.folder.iterdir()) == [DESCRIPTION, "tiles"]
        assert graph.folder.stat().st_mode & 0o777 == 0o755
    assert graphs.wanted(tmp_path) is None  # that is for whoever asked for it to say
    graphs.want(tmp_path, made[0])
    assert graphs.wanted(tmp_path) == made[0]


def test_what_a_program_gets_is_the_configuration_and_all_files(
    programs: Programs, extract: Path, tmp_path: Path
) -> None:
    programs.tiles = f'cp "$2" {tmp_path}/config; echo "$@" > {tmp_path}/said; {programs.tiles}'
    build([extract, extract], tmp_path)
    said = (tmp_path / "said").read_text().split()
    assert (said[0], said[2:]) == ("-c", [str(extract)] * 2)
    assert str(roads_dir(tmp_path)) in (tmp_path / "config").read_text()


@pytest.mark.parametrize(
    ("tiles", "says"),
    [
        ("true", "no road that a car may take in {file}"),
        ("echo Directed Edge Count = 7", "no road that a car may take in {file}"),
        ("mkdir tiles; touch tiles/0.gph", "no road that a car may take in {file}"),
        ("echo terminate called; echo '  what():  PBF error'; kill -ABRT $$", "{file} cannot be read: PBF error"),
        ("for k in 1 2 3 4 5 6; do echo $k; done; exit 3", "valhalla_build_tiles failed (3):\n2\n3\n4\n5\n6"),
        ("printf '\\377\\376'; kill -9 $$", "valhalla_build_tiles failed (-9):\n��"),
    ],
)  # fmt: skip
def test_a_build_that_fails_says_why_in_a_sentence(
    programs: Programs, extract: Path, tmp_path: Path, tiles: str, says: str
) -> None:
    programs.tiles = tiles
    assert why_not([extract], tmp_path) == says.format(file=extract)


def test_of_several_files_none_is_blamed(programs: Programs, extract: Path, tmp_path: Path) -> None:
    programs.tiles = "echo 'what(): bad'; exit 1"
    assert why_not([extract, extract], tmp_path) == "one of the files cannot be read: bad"


def test_borders_that_fail_are_told_under_their_program(programs: Programs, extract: Path, tmp_path: Path) -> None:
    programs.admins = "echo no; exit 2"
    assert why_not([extract], tmp_path) == "valhalla_build_admins failed (2):\nno"


def test_a_file_that_is_none_is_refused_before_anything_is_built(
    programs: Programs, extract: Path, tmp_path: Path
) -> None:
    programs.admins = f"touch {tmp_path}/began"
    extract.write_bytes(b"no map at all")
    assert why_not([extract], tmp_path) == f"{extract} is no OSM PBF file"
    assert not (tmp_path / "began").exists()


def test_what_keeps_a_build_from_beginning_is_said(
    programs: Programs, extract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with building(tmp_path), pytest.raises(BuildError, match="another `mapsvc roads` is building"):
        build([extract], tmp_path)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    assert "Not a directory" in why_not([extract], blocked)
    monkeypatch.setattr(builds, "is_installed", lambda: False)
    assert "not installed" in why_not([extract], tmp_path)


@pytest.mark.parametrize(
    ("tiles", "bbox"),
    [
        (["2/000/804/274.gph"], (8.5, 49.5, 8.75, 49.75)),
        (["2/000/804/274.gph", "2/000/802/833.gph", "1/051/305.gph", "0/003/196.gph"], (8.25, 49.25, 8.75, 49.75)),
        (["2/000/000/000.gph"], (-180, -90, -179.75, -89.75)),
        (["2/001/036/799.gph"], (179.75, 89.75, 180, 90)),
        (["1/049/868.gph", "0/003/106.gph"], (8, 48, 9, 49)),  # motorways alone
        (["0/003/106.gph"], (4, 46, 8, 50)),
    ],
)
def test_the_box_of_a_graph_is_that_of_its_finest_tiles(tiles: list[str], bbox: tuple[float, ...]) -> None:
    assert builds._bbox([Path(tile) for tile in tiles]) == bbox


def test_nobody_else_builds_until_a_graph_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one begins while the first is being tried: of two graphs the later must not lose to the earlier."""
    settings = Settings(data_dir=tmp_path)
    args = argparse.Namespace(files=[])
    others: list[int] = []

    def build_one(_: Any, data_dir: Path, then: Callable[[Graph], None]) -> Graph:
        try:
            with building(data_dir):
                graph = make(data_dir, "1")
                then(graph)
                return graph
        except BlockingIOError:
            raise BuildError("another one builds") from None

    async def try_it(_: Graph) -> None:
        others.append(await asyncio.to_thread(command.run, args, settings))

    monkeypatch.setattr(command, "build", build_one)
    monkeypatch.setattr(command, "_try", try_it)
    assert command.run(args, settings) == 0
    assert others == [1]
    wanted = graphs.wanted(tmp_path)
    assert wanted is not None and wanted.id == "1"


def test_a_graph_that_no_valhalla_comes_up_on_goes(
    programs: Programs, extract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def try_it(_: Graph) -> None:
        raise EngineError("no")

    monkeypatch.setattr(command, "_try", try_it)
    assert command.run(argparse.Namespace(files=[extract]), Settings(data_dir=tmp_path)) == 1
    assert there(tmp_path) == ["lock"]
    assert graphs.wanted(tmp_path) is None


# -- keeping one served ---------------------------------------------------------------------------------------------------


class FakeEngine:
    """In place of a Valhalla process."""

    made: list[FakeEngine]
    bad: set[str]  # graphs that none comes up on

    def __init__(self, graph: Graph, run_folder: Path, log: Path) -> None:
        self.graph = graph
        self.alive = self.stopped = False
        self.silent = False
        self.ticks = 0
        self.folder_was_there: bool | None = None
        self._end = asyncio.Event()
        FakeEngine.made.append(self)

    @property
    def served(self) -> Served:
        return Served(f"http://127.0.0.1:{len(FakeEngine.made)}", self.graph.id, self.graph.description.bbox)

    @property
    def pid(self) -> int | None:
        return 1 if self.alive else None

    async def start(self) -> None:
        await asyncio.sleep(0)
        if self.graph.id in FakeEngine.bad:
            raise EngineError(f"no {self.graph.id}")
        self.alive = True

    async def answers(self) -> bool:
        return self.alive and not self.silent

    def cpu_ticks(self) -> int:
        return self.ticks

    async def ended(self) -> None:
        await self._end.wait()

    async def stop(self) -> None:
        self.folder_was_there = self.graph.folder.exists()
        await asyncio.sleep(0)
        self.stopped = True
        self.kill()

    def kill(self) -> None:
        self.alive = False
        self._end.set()


class Kept:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.said: list[str] = []
        self.restarts = 0
        self.keeper = Keeper(data_dir, data_dir / "log", self.said.append, self._on_restart)
        self.task: asyncio.Task[None] | None = None

    def _on_restart(self) -> None:
        self.restarts += 1

    def want(self, name: str) -> None:
        graphs.want(self.data_dir, make(self.data_dir, name))

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        for _ in range(150):
            if is_so():
                return
            if self.task is not None and self.task.done():
                self.task.result()
            await asyncio.sleep(0.01)
        raise AssertionError(what)

    async def serves(self, name: str) -> FakeEngine:
        """Waits until it does."""

        def is_so() -> bool:
            served = graphs.served(self.data_dir)
            return served is not None and served.graph == name and self.keeper.pid is not None

        await self.until(is_so, f"{name} is not served; {self.said}")
        return FakeEngine.made[-1]


@asynccontextmanager
async def keeping(data_dir: Path, wanted: str | None = "1") -> AsyncIterator[Kept]:
    run_dir(data_dir).mkdir(parents=True)
    kept = Kept(data_dir)
    if wanted is not None:
        kept.want(wanted)
    kept.task = asyncio.create_task(kept.keeper.run())
    try:
        yield kept
        assert not kept.task.done(), kept.task
    finally:
        await end([kept.task])


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    FakeEngine.made, FakeEngine.bad = [], set()
    monkeypatch.setattr(keepers, "Valhalla", FakeEngine)
    monkeypatch.setattr(keepers, "is_installed", lambda: True)
    for name, seconds in (("POLL_S", 0.01), ("ASK_EVERY_S", 0.01), ("OLD_S", 0.1), ("FIRST_PAUSE_S", 0.02)):
        monkeypatch.setattr(keepers, name, seconds)
    return FakeEngine.made


async def test_what_is_wanted_is_served_as_soon_as_it_is_there_and_nothing_is_left_at_the_end(
    tmp_path: Path, engines: list[FakeEngine]
) -> None:
    async with keeping(tmp_path, None) as kept:
        await asyncio.sleep(0.05)
        assert not engines and not kept.keeper.is_wanted and not kept.keeper.answered.is_set()
        kept.want("1")
        engine = await kept.serves("1")
        assert kept.keeper.is_wanted and kept.keeper.answered.is_set()
        assert graphs.served(tmp_path) == engine.served
    assert engine.stopped and len(engines) == 1
    assert graphs.served(tmp_path) is None
    assert len(asyncio.all_tasks()) == 1


async def test_a_newer_graph_is_turned_to_and_the_old_one_may_finish(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        old = await kept.serves("1")
        kept.want("2")
        new = await kept.serves("2")
        assert old.alive and not old.stopped and old.graph.folder.exists()
        await kept.until(lambda: old.stopped, "the old one goes")
        await kept.until(lambda: not old.graph.folder.exists(), "its graph goes")
        assert old.folder_was_there and new.alive and new.graph.folder.exists()
    assert kept.restarts == 0


async def test_a_graph_that_none_comes_up_on_leaves_the_old_one_serving(
    tmp_path: Path, engines: list[FakeEngine]
) -> None:
    async with keeping(tmp_path) as kept:
        old = await kept.serves("1")
        FakeEngine.bad.add("2")
        kept.want("2")
        await kept.until(lambda: "no 2" in kept.said, "it is said")
        await asyncio.sleep(0.1)
        assert old.alive and len(engines) == 2  # it is tried once
        served = graphs.served(tmp_path)
        assert served is not None and served.graph == "1" and old.graph.folder.exists()
        kept.want("3")
        await kept.serves("3")


async def test_one_that_ends_is_started_again_on_the_same_graph_after_longer_and_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "LONGEST_PAUSE_S", 0.05)
    async with keeping(tmp_path) as kept:
        for restarts in range(4):
            engine = await kept.serves("1")
            assert kept.restarts == restarts
            engine.kill()
            await kept.until(lambda: kept.keeper.pid is None, "it ended")
        await kept.serves("1")
    pauses = [line.rpartition(" in ")[2] for line in kept.said if "starting it again" in line]
    assert pauses == ["0.0 s", "0.0 s", "0.1 s", "0.1 s"]  # 0.02, 0.04, 0.05, 0.05
    assert make(tmp_path, "2").folder.exists()  # graphs stay where they are


async def test_one_that_cannot_be_started_again_is_tried_on(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        engine = await kept.serves("1")
        FakeEngine.bad.add("1")
        engine.kill()
        await kept.until(lambda: kept.said.count("no 1") == 3, "three tries")
        FakeEngine.bad.clear()
        await kept.serves("1")


async def test_one_that_neither_answers_nor_works_is_killed_and_started_again(
    tmp_path: Path, engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "BUSY_ASKS", 10_000)
    async with keeping(tmp_path) as kept:
        stuck = await kept.serves("1")
        stuck.silent = True
        await kept.until(lambda: len(engines) == 2, "another one")
        assert not stuck.alive
        await kept.serves("1")
    assert any("does not answer any more" in line for line in kept.said)


async def test_one_that_works_may_be_silent_for_long_but_not_for_ever(
    tmp_path: Path, engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "cpu_ticks", lambda self: len(asked))
    asked: list[float] = []

    async def answers(self: FakeEngine) -> bool:
        asked.append(0)
        return self.alive and not self.silent

    monkeypatch.setattr(FakeEngine, "answers", answers)
    async with keeping(tmp_path) as kept:
        busy = await kept.serves("1")
        busy.silent = True
        before = len(asked)
        await kept.until(lambda: len(engines) == 2, "another one")
        assert len(asked) - before >= keepers.BUSY_ASKS - 1


async def test_a_graph_that_vanishes_is_no_reason_to_end(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        engine = await kept.serves("1")
        shutil.rmtree(roads_dir(tmp_path))
        engine.kill()
        await asyncio.sleep(0.1)
        kept.want("2")
        await kept.serves("2")


async def test_one_that_ends_while_a_refused_graph_is_wanted_is_started_again(
    tmp_path: Path, engines: list[FakeEngine]
) -> None:
    async with keeping(tmp_path) as kept:
        engine = await kept.serves("1")
        FakeEngine.bad.add("2")
        kept.want("2")
        await kept.until(lambda: "no 2" in kept.said, "it is said")
        engine.kill()
        await asyncio.sleep(0.3)
        assert len(engines) < 20
        await kept.serves("1")


async def test_a_first_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    """A port that somebody else took, memory that was short for a moment."""
    FakeEngine.bad.add("1")
    async with keeping(tmp_path) as kept:
        await kept.until(lambda: "no 1" in kept.said, "it is said")
        FakeEngine.bad.clear()
        await kept.serves("1")


async def test_an_old_one_that_may_still_finish_is_stopped_at_the_end(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        old = await kept.serves("1")
        kept.want("2")
        new = await kept.serves("2")
    assert new.stopped
    assert old.stopped


async def test_a_graph_stays_until_the_one_that_serves_it_has_gone(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        await kept.serves("1")
        kept.want("2")
        second = await kept.serves("2")
        await asyncio.sleep(0.05)
        kept.want("3")
        await kept.serves("3")
        await kept.until(lambda: second.stopped, "it goes")
        assert second.folder_was_there


@pytest.mark.parametrize("failing", ["disk", "configuration"])
async def test_trouble_at_a_start_ends_the_start_only(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = graphs.note_served

    def note(data_dir: Path, what: Served | None) -> None:
        if what is not None:
            raise OSError(28, "No space left on device")
        real(data_dir, what)

    async def start(_: FakeEngine) -> None:
        raise subprocess.CalledProcessError(1, [sys.executable, "valhalla_build_config.py"])

    if failing == "disk":
        monkeypatch.setattr(graphs, "note_served", note)
    else:
        monkeypatch.setattr(FakeEngine, "start", start)
    async with keeping(tmp_path) as kept:
        await asyncio.sleep(0.1)
        assert kept.said
