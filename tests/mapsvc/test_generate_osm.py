"""The synthetic world's roads, read back from the file."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import osmium
import pytest
import shapely
from osmium.osm import Node, Relation, Way

from mapsvc.__main__ import main
from mapsvc.generate_ground import EDGE, TOWN, lay_ground
from mapsvc.generate_osm import COUNTRY, Written, threaded, write_roads
from mapsvc.generate_plan import World, plan, uniform

GOLDEN = "302c7312d95a97fcc84466c5e7a50cb5bcf03a15ad3f1ddf62b1e38fc4cae70d"
"""Of all nodes, ways and tags of plan(1_500). A change of it is a change of every world's roads: tell so in the commit."""
ROOT = Path(__file__).resolve().parents[2]
STREETS = {"residential", "tertiary"}
KM_PER_DEGREE = 111.195


class Road(NamedTuple):
    nodes: list[int]
    tags: dict[str, str]


class Roads(NamedTuple):
    world: World
    written: Written
    order: list[tuple[str, int]]  # of all objects in the file
    places: dict[int, tuple[float, float]]  # (lat, lon) of each node
    ways: dict[int, Road]
    relations: list[tuple[dict[str, str], list[tuple[str, int, str]]]]

    def highways(self) -> list[Road]:
        return [way for way in self.ways.values() if "highway" in way.tags]


def write(stations: int, path: Path) -> Roads:
    world = plan(stations)
    roads = Roads(world, write_roads(world, path), [], {}, {}, [])
    for item in osmium.FileProcessor(path):
        roads.order.append((item.type_str(), item.id))
        match item:
            case Node():
                roads.places[item.id] = (item.lat, item.lon)
            case Way():
                roads.ways[item.id] = Road([node.ref for node in item.nodes], dict(item.tags))
            case Relation():
                roads.relations.append((dict(item.tags), [(m.type, m.ref, m.role) for m in item.members]))
    return roads


def digest(roads: Roads) -> str:
    told = repr((roads.order, sorted(roads.places.items()), sorted(roads.ways.items()), roads.relations))
    return hashlib.sha256(told.encode()).hexdigest()


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Roads:
    """A region and a part of the next one."""
    return write(12_000, tmp_path_factory.mktemp("roads") / "world.osm.pbf")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Roads:
    return write(1_500, tmp_path_factory.mktemp("roads") / "small.osm.pbf")


# --------------------------------------------------------------------------- the file


def test_objects_stand_in_the_order_that_osm_files_have(roads: Roads) -> None:
    kinds = [kind for kind, _ in itertools.groupby(roads.order, lambda item: item[0])]
    assert kinds == ["n", "w", "r"]
    assert all(one < other for one, other in itertools.pairwise(roads.order) if one[0] == other[0])
    assert roads.written[:2] == (len(roads.places), len(roads.ways))


def test_every_way_has_two_nodes_that_exist_and_stands_still_at_none(roads: Roads) -> None:
    for way in roads.ways.values():
        assert len(way.nodes) >= 2
        assert roads.places.keys() >= set(way.nodes)
        assert all(one != other for one, other in itertools.pairwise(way.nodes))


def test_a_road_that_crosses_a_street_twice_in_one_spot_has_that_node_once() -> None:
    assert threaded([(0.0, 1), (1.0, 2), (0.51, 8), (0.5, 8), (0.4, 9)]) == [(0.0, 1), (0.4, 9), (0.5, 8), (1.0, 2)]


def test_the_same_world_gives_the_same_bytes(small: Roads, tmp_path: Path) -> None:
    paths = tmp_path / "one.osm.pbf", tmp_path / "other.osm.pbf"
    for path in paths:
        write_roads(small.world, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.osm.pbf", "other.osm.pbf"]


def test_the_same_world_gives_the_same_roads_on_every_machine(small: Roads) -> None:
    assert digest(small) == GOLDEN


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in"):
        write_roads(plan(10), tmp_path / "world.pbf")


def test_an_empty_world_has_no_roads(tmp_path: Path) -> None:
    assert write(0, tmp_path / "none.osm.pbf").written == (0, 0, 0.0)


def test_size_is_bounded(roads: Roads) -> None:
    assert roads.written.nodes < 6 * roads.world.stations
    towns = np.array([(town.lat, town.lon, town.sigma_km) for town in roads.world.towns])
    counts = Counter[int]()
    for part in np.array_split(np.array(list(roads.places.values())), 20):
        y, x = (part[:, None] - towns[None, :, :2]).transpose(2, 0, 1) * KM_PER_DEGREE
        counts.update((np.hypot(y, x * 0.64) / towns[:, 2]).argmin(axis=1).tolist())
    assert max(counts.values()) < 2_500
    assert np.median([counts[k] for k, town in enumerate(roads.world.towns) if town.stations <= 5]) < 90


# --------------------------------------------------------------------------- the roads


def loose_nodes(roads: Roads) -> set[int]:
    """Nodes of highways that cannot be reached from the middle of town 0, by union-find."""
    parent = {node: node for way in roads.highways() for node in way.nodes}

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for way in roads.highways():
        for one, other in itertools.pairwise(way.nodes):
            parent[root(one)] = root(other)
    return {node for node in parent if root(node) != root(1)}


def test_all_roads_hang_together_and_every_town_is_on_them(roads: Roads) -> None:
    assert not loose_nodes(roads)
    on_roads = {node for way in roads.highways() for node in way.nodes}
    for k, town in enumerate(roads.world.towns):
        assert k + 1 in on_roads
        assert roads.places[k + 1] == pytest.approx((town.lat, town.lon), abs=1e-7)


@pytest.mark.parametrize("stations", [1, 2, 33, 34, 100, 500])
def test_small_worlds_hang_together_too(stations: int, tmp_path: Path) -> None:
    roads = write(stations, tmp_path / "small.osm.pbf")
    assert not loose_nodes(roads)
    assert sum(way.tags.get("highway") in STREETS for way in roads.ways.values()) >= 3


def test_stations_stand_by_a_road(roads: Roads) -> None:
    lines = [shapely.LineString([flat(roads.places[node]) for node in way.nodes]) for way in roads.highways()]
    tree = shapely.STRtree(lines)
    for region in roads.world.regions:
        ground = lay_ground(roads.world, region, uniform(roads.world.seed, region.number, 4))
        points = shapely.points([flat(place) for place in zip(ground.lat, ground.lon, strict=True)])
        near = np.zeros(len(points), np.bool_)
        near[np.unique(tree.query(points, predicate="dwithin", distance=0.3)[0])] = True
        assert near[ground.kind == TOWN].mean() > 0.97
        assert near[(ground.kind != TOWN) & (ground.kind != EDGE)].all()


def flat(place: tuple[float, float]) -> tuple[float, float]:
    """Kilometres east and north, true enough near 49 N, where the first regions lie."""
    return float(place[1]) * KM_PER_DEGREE * 0.656, float(place[0]) * KM_PER_DEGREE


def test_links_run_their_course_past_every_motorway_stop(roads: Roads) -> None:
    nodes_of: dict[tuple[float, float], set[str]] = {}
    for way in roads.highways():
        for node in way.nodes:
            nodes_of.setdefault(roads.places[node], set()).add(way.tags["highway"])
    for region in roads.world.regions:
        for stop in region.stops:
            place = roads.world.point_on(roads.world.links[stop.link], stop.t)
            assert nodes_of[place] & {"motorway", "primary"}, "a motorway is primary within its towns"
    for link in roads.world.links:
        assert nodes_of[roads.world.point_on(link, 0)] & {"primary", "secondary"}
        n = max(1, round(link.length_km / 2))
        assert all(roads.world.point_on(link, k / n) in nodes_of for k in range(n + 1))


def test_streets_run_straight_from_end_to_end(roads: Roads) -> None:
    for way in roads.highways():
        if way.tags["highway"] in STREETS:
            line = shapely.LineString([roads.places[node] for node in way.nodes])
            assert line.length == pytest.approx(shapely.distance(*line.boundary.geoms))


def test_where_a_road_crosses_a_street_both_have_the_junction(small: Roads) -> None:
    """Against brute force over all pairs. Of one region: streets of two regions may end side by side."""
    streets = [way for way in small.highways() if way.tags["highway"] in STREETS]
    others = [way for way in small.highways() if way.tags["highway"] not in STREETS | {"motorway"}]
    drawn = [[shapely.LineString([small.places[n] for n in way.nodes]) for way in of] for of in (streets, others)]
    crossing = shapely.STRtree(drawn[0]).query(drawn[1], predicate="intersects").T
    assert len(crossing) > 500
    assert all(set(others[road].nodes) & set(streets[street].nodes) for road, street in crossing.tolist())


def test_no_residential_street_joins_a_motorway(roads: Roads) -> None:
    used: dict[int, set[str]] = {}
    for way in roads.highways():
        for node in way.nodes:
            used.setdefault(node, set()).add(way.tags["highway"])
    motorways = [way for way in roads.highways() if way.tags["highway"] == "motorway"]
    assert len(motorways) > 50
    for way in motorways:
        assert (way.tags["oneway"], way.tags["maxspeed"], way.tags["ref"][:2]) == ("no", "130", "A ")
        assert not any("residential" in used[node] for node in way.nodes)
    exits = Counter(kind for way in motorways for node in way.nodes[1:-1] for kind in used[node])
    assert min(exits["tertiary"], exits["secondary"]) > 50


def test_roads_have_names_or_numbers_and_speeds(roads: Roads) -> None:
    for way in roads.highways():
        assert way.tags["maxspeed"] in {"30", "50", "70", "100", "130"}
        assert way.tags.get("name") or way.tags["ref"][:2] in {"A ", "B ", "L "}
    assert {way.tags["highway"] for way in roads.highways()} == STREETS | {"secondary", "primary", "motorway"}
    rings = {way.tags["name"] for way in roads.highways() if way.tags.get("name", "").endswith(" Ring")}
    assert {f"{town.name} Ring" for town in roads.world.towns if town.stations >= 40} <= rings
    assert len({way.tags.get("name") for way in roads.highways()}) > 200


def test_a_border_is_drawn_around_all(roads: Roads) -> None:
    [(tags, [(kind, border, role)])] = roads.relations
    assert (tags["boundary"], tags["admin_level"], tags["name"]) == ("administrative", "2", COUNTRY)
    assert (kind, role) == ("w", "outer")
    ring = roads.ways[border].nodes
    assert ring[0] == ring[-1]
    country = shapely.Polygon([roads.places[node] for node in ring])
    assert country.contains(shapely.points(list(roads.places.values()))[:-4]).all()


# ------------------------------------------------------------------------- the command


def test_generate_writes_the_roads_without_a_database(
    small: Roads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    path = tmp_path / "world.osm.pbf"
    assert main(["generate", "--stations", "1500", "--roads", str(path), "--only-roads"]) == 0
    assert f"{small.written.nodes:,} nodes, {small.written.ways:,} ways" in capsys.readouterr().out
    write_roads(small.world, tmp_path / "same.osm.pbf")
    assert path.read_bytes() == (tmp_path / "same.osm.pbf").read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only-roads"], "needs --roads"),
        (["--only-roads", "--roads", "world.pbf"], "must end in .osm.pbf"),
        (["--only-roads", "--roads", "/nowhere/world.osm.pbf"], "No such file"),
    ],
)
def test_what_cannot_be_written_is_told(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--stations", "10", *options]) == 2
    assert told in capsys.readouterr().err


def test_osmium_is_loaded_for_the_roads_alone() -> None:
    program = "import sys, mapsvc.generate, mapsvc.serve, mapsvc.app; print('osmium' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
