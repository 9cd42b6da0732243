"""Aggregate tiles: sums of the world at every zoom, each cell in one tile, and updates equal to a rebuild."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import h3.api.basic_int as h3
import mapbox_vector_tile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo import cell_level, key_index
from geo.aggregates import BASE_RES, MAX_AGGREGATE_ZOOM, RES_OF_ZOOM, Aggregates
from geo.cell_rows import CellRows, Members, aggregate_rows, combine, empty_rows, joined
from geo.h3bits import (
    cell_of_feature_id,
    centre_positions,
    check_cells,
    descendant_range,
    feature_ids,
    parent_cells,
)
from geo.key_index import KeyIndex
from geo.tilemath import Tile, bounds, pixels, tile_of, tile_of_key

ZOOMS = range(MAX_AGGREGATE_ZOOM + 1)
NO_CELLS = np.zeros(0, np.uint64)


class Place(NamedTuple):
    """A station as the oracle keeps it."""

    lat: float
    lon: float
    free: int
    busy: int
    out_of_service: int
    unknown: int
    kw: float

    @property
    def cell(self) -> int:
        return int(h3.latlng_to_cell(self.lat, self.lon, BASE_RES))


World = dict[int, Place]  # by num

towns = st.sampled_from([(48.85, 2.35), (0.0, 0.0), (-16.5, 179.99), (89.5, 10.0), (-89.9, -60.0), (64.1, -180.0)])
spots = st.tuples(towns, st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)).map(
    lambda s: (float(np.clip(s[0][0] + s[1], -90, 90)), (s[0][1] + s[2] + 180) % 360 - 180)
) | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
few = st.integers(0, 3)
places = st.builds(
    lambda spot, *rest: Place(*spot, *rest), spots, few, few, few, few, st.sampled_from([0.0, 3.7, 11.0, 150.0, 350.0])
)
worlds = st.dictionaries(st.integers(1, 1 << 53), places, max_size=30)


def members_of(world: World) -> Members:
    """Every station of the oracle as columns; counts in the width that the service keeps them."""
    p = list(world.values())
    return Members(
        cells=np.array([place.cell for place in p], np.uint64),
        nums=np.array(list(world), np.int64),
        free=np.array([place.free for place in p], np.uint16),
        busy=np.array([place.busy for place in p], np.uint16),
        out_of_service=np.array([place.out_of_service for place in p], np.uint16),
        unknown=np.array([place.unknown for place in p], np.uint16),
        max_kw=np.array([place.kw for place in p], np.float32),
    )


def centre_tile(cell: int, z: int) -> Tile:
    lat, lon = h3.cell_to_latlng(cell)
    return tile_of(lat, lon, z)


def built(world: World) -> Aggregates:
    aggregates = Aggregates()
    aggregates.rebuild(members_of(world))
    return aggregates


def oracle_tiles(world: World, z: int) -> dict[Tile, dict[int, dict[str, Any]]]:
    """By tile and feature id, one station at a time, with the library's own functions."""
    cells: dict[int, list[tuple[int, Place]]] = defaultdict(list)
    for num, place in world.items():
        cells[h3.cell_to_parent(place.cell, RES_OF_ZOOM[z])].append((num, place))
    tiles: dict[Tile, dict[int, dict[str, Any]]] = defaultdict(dict)
    for cell, stations in cells.items():
        lat, lon = h3.cell_to_latlng(cell)
        shown: dict[str, Any] = {
            "count": len(stations),
            **{
                name: sum(getattr(p, name) for _, p in stations)
                for name in ("free", "busy", "out_of_service", "unknown")
            },
            "max_kw": int(max(place.kw for _, place in stations)),
        }
        free = [(-place.kw, num) for num, place in stations if place.free]
        if free:
            shown |= {"best_id": min(free)[1], "best_kw": int(-min(free)[0])}
        at = pixels([lat], [lon], z)
        shown["at"] = [int(at.px[0]), int(at.py[0])]
        tiles[tile_of(lat, lon, z)][cell & (1 << 52) - 1] = shown
    return tiles


def decoded(tile: bytes) -> dict[int, dict[str, Any]]:
    if not tile:
        return {}
    layers = mapbox_vector_tile.decode(tile, default_options={"y_coord_down": True})
    features = layers.pop("aggregates")["features"]
    assert not layers
    assert [f["id"] for f in features] == sorted({f["id"] for f in features})  # each once, in order
    return {f["id"]: f["properties"] | {"at": f["geometry"]["coordinates"]} for f in features}


@settings(deadline=None)
@given(worlds)
def test_every_tile_shows_what_the_stations_sum_up_to(world: World) -> None:
    aggregates = built(world)
    for z in ZOOMS:
        tiles = oracle_tiles(world, z)
        assert {tile: decoded(aggregates.render(*tile)) for tile in tiles} == tiles
        elsewhere = Tile(z, 0, 0)
        assert elsewhere in tiles or aggregates.render(*elsewhere) == b""


@settings(deadline=None)
@given(worlds)
def test_at_every_zoom_the_sums_are_those_of_the_world(world: World) -> None:
    aggregates = built(world)
    whole = Counter({name: sum(getattr(p, name) for p in world.values()) for name in Place._fields[2:6]})
    for z in ZOOMS:
        counts = aggregates.rows(z).counts.sum(axis=1).tolist()
        assert counts == [len(world), *(whole[name] for name in Place._fields[2:6])]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_updates_end_where_a_rebuild_would_and_name_every_tile_that_changed(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_index, "MERGE_AT_LEAST", 3)  # so that a few cells pass through all stages
        patch.setattr(cell_level, "GROWTH", 2)
        world: World = data.draw(worlds)
        aggregates = built(world)
        for _ in range(data.draw(st.integers(1, 4))):
            before = {z: {tile: aggregates.render(*tile) for tile in oracle_tiles(world, z)} for z in ZOOMS}
            dirty = change(data, world)
            here = {num: place for num, place in world.items() if place.cell in dirty}
            touched = aggregates.update(np.array(sorted(dirty), np.uint64), members_of(here))

            fresh = built(world)
            assert set(touched) == set(ZOOMS)
            for z in ZOOMS:
                after = {tile: aggregates.render(*tile) for tile in before[z].keys() | oracle_tiles(world, z).keys()}
                assert after == {tile: fresh.render(*tile) for tile in after}
                changed = {tile for tile, drawn in after.items() if drawn != before[z].get(tile, b"")}
                assert changed == {tile_of_key(key) for key in touched[z].tolist()}


def change(data: st.DataObject, world: World) -> set[int]:
    """Stations come, go, move or change in place. The cells concerned, and one where nothing happened."""
    before = dict(world)
    for num in data.draw(st.lists(st.sampled_from(sorted(world)), unique=True, max_size=6)) if world else []:
        match data.draw(st.sampled_from(["remove", "move", "change"])):
            case "remove":
                del world[num]
            case "move":
                world[num] = data.draw(places)
            case "change":
                world[num] = world[num]._replace(free=data.draw(few), kw=data.draw(st.sampled_from([0.0, 11.0, 400.0])))
    world |= data.draw(st.dictionaries(st.integers(1, 1 << 53), places, max_size=4))
    concerned = {place for num in before.keys() | world.keys() for place in (before.get(num), world.get(num))
                 if place is not None and before.get(num) != world.get(num)}  # fmt: skip
    return {place.cell for place in concerned} | {data.draw(places).cell}


def test_an_update_that_changes_nothing_touches_no_tile() -> None:
    world = {1: Place(48.0, 2.0, 1, 0, 0, 0, 50.0), 2: Place(48.0, 2.0, 0, 1, 0, 0, 50.0)}
    aggregates = built(world)
    touched = aggregates.update(np.array([world[1].cell], np.uint64), members_of(world))
    assert [len(keys) for keys in touched.values()] == [0] * len(ZOOMS)


def test_another_station_with_the_same_figures_changes_the_tiles() -> None:
    here = Place(48.0, 2.0, 1, 0, 0, 0, 50.0)
    aggregates = built({1: here})
    touched = aggregates.update(np.array([here.cell], np.uint64), members_of({2: here}))
    assert [len(keys) for keys in touched.values()] == [1] * len(ZOOMS)
    assert aggregates.rows(0).best_num.tolist() == [2]


@pytest.mark.parametrize("powers", [(50.0, 300.0), (22.0, 400.0)], ids=["of the best free one", "the largest"])
def test_another_power_alone_changes_the_tiles(powers: tuple[float, float]) -> None:
    free, busy = Place(48.0, 2.0, 1, 0, 0, 0, 22.0), Place(48.0, 2.0, 0, 1, 0, 0, 300.0)
    aggregates = built({1: free, 2: busy})
    world = {1: free._replace(kw=powers[0]), 2: busy._replace(kw=powers[1])}
    touched = aggregates.update(np.array([free.cell], np.uint64), members_of(world))
    assert [len(keys) for keys in touched.values()] == [1] * len(ZOOMS)
    for z in ZOOMS:
        ((tile, shown),) = oracle_tiles(world, z).items()
        assert decoded(aggregates.render(*tile)) == shown


def test_a_cell_that_emptied_is_no_longer_counted() -> None:
    world = {1: Place(48.0, 2.0, 1, 0, 0, 0, 50.0), 2: Place(48.1, 2.1, 1, 0, 0, 0, 50.0)}
    aggregates = built(world)
    assert aggregates.placed(0, 0, 0, NO_CELLS).stations.sum() == 2
    aggregates.update(np.array([world[1].cell], np.uint64), members_of({}))
    assert aggregates.placed(0, 0, 0, NO_CELLS).stations.sum() == 1
    assert aggregates.rows(10).cells.tolist() == [world[2].cell]


@pytest.mark.parametrize("z", ZOOMS)
def test_a_tile_full_of_stations_holds_some_hundred_cells(z: int) -> None:
    """On the equator, where tiles are largest on the ground; a station in every cell of the tile's."""
    tile = Tile(z, (1 << z) // 3, (1 << z) // 2)
    west, south, east, north = bounds(tile)
    middle = h3.latlng_to_cell((south + north) / 2, (west + east) / 2, RES_OF_ZOOM[z])
    around = h3.get_res0_cells() if z == 0 else h3.grid_disk(middle, 24)
    inside = [cell for cell in around if centre_tile(cell, z) == tile]
    assert 50 <= len(inside) <= 550
    one_each = np.array([h3.cell_to_center_child(cell, BASE_RES) for cell in inside], np.uint64)
    ones = np.ones(len(inside), np.uint16)
    aggregates = Aggregates()
    aggregates.rebuild(Members(one_each, np.arange(len(inside)), ones, ones, ones, ones, ones * np.float32(50)))
    drawn = decoded(aggregates.render(*tile))
    assert set(drawn) == set(feature_ids(np.array(inside, np.uint64)).tolist())


@settings(deadline=None)
@given(worlds, worlds, st.sampled_from(ZOOMS))
def test_the_cells_of_a_tile_are_those_that_it_shows_and_new_ones(known: World, new: World, z: int) -> None:
    aggregates = built(known)
    cells = np.array([place.cell for place in new.values()], np.uint64)
    both = {("known", num): place for num, place in known.items()} | {("new", num): place for num, place in new.items()}
    for tile in oracle_tiles(known, z).keys() | oracle_tiles(new, z).keys():
        placed = aggregates.placed(*tile, cells)
        assert placed.cells.tolist() == sorted(shown_in(tile, both))
        parents = [h3.cell_to_parent(place.cell, RES_OF_ZOOM[z]) for place in known.values()]
        assert placed.stations.tolist() == [parents.count(cell) for cell in placed.cells.tolist()]
        u, v = centre_positions(placed.cells)
        assert (placed.u.tolist(), placed.v.tolist()) == (u.tolist(), v.tolist())


def shown_in(tile: Tile, world: Mapping[Any, Place]) -> set[int]:
    cells = {h3.cell_to_parent(place.cell, RES_OF_ZOOM[tile.z]) for place in world.values()}
    return {cell for cell in cells if centre_tile(cell, tile.z) == tile}


def test_the_best_free_station_has_the_most_power_then_the_lowest_number() -> None:
    here = Place(48.0, 2.0, 1, 0, 0, 0, 50.0)
    world = {9: here, 4: here, 7: here._replace(kw=0.0), 1: here._replace(kw=300.0, free=0, busy=2)}
    for z in ZOOMS:
        ((shown,),) = (oracle.values() for oracle in oracle_tiles(world, z).values())
        assert (shown["max_kw"], shown["best_id"], shown["best_kw"]) == (300, 4, 50)
    rows = built(world).rows(10)
    assert (rows.best_num.tolist(), rows.best_kw.tolist(), rows.max_kw.tolist()) == ([4], [50.0], [300.0])
    none_free = {1: world[1]}
    assert built(none_free).rows(0).best_num.tolist() == [-1]
    unknown_power = {7: world[7]}
    assert built(unknown_power).rows(0).best_num.tolist() == [7]


@settings(deadline=None)
@given(worlds, st.lists(st.integers(0, 29)), st.randoms(use_true_random=False))
def test_rows_add_up_in_any_order_and_grouping(world: World, cuts: list[int], random: Any) -> None:
    members = members_of(world)
    members = members._replace(cells=parent_cells(members.cells, 1))
    whole = aggregate_rows(members)
    order = list(range(len(world)))
    random.shuffle(order)
    parts = [
        aggregate_rows(Members(*(c[part] for c in members))) for part in np.split(np.array(order, int), sorted(cuts))
    ]
    total = empty_rows(np.zeros(0, np.uint64))
    for part in parts:
        total = combine(joined(part, total))
    assert [column.tobytes() for column in columns_of(total)] == [column.tobytes() for column in columns_of(whole)]


def columns_of(rows: CellRows) -> list[np.ndarray[Any, Any]]:
    return [rows.cells, rows.counts, rows.max_kw, rows.best_num, rows.best_kw]


def test_a_pole_and_the_antimeridian_have_their_tiles() -> None:
    corners = [(90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (0.0, -180.0), (89.99, 179.99), (0.0, 179.0), (0.0, -179.0)]
    world = {i: Place(lat, lon, 1, 0, 0, 0, 50.0) for i, (lat, lon) in enumerate(corners)}
    aggregates = built(world)
    for z in ZOOMS:
        tiles = oracle_tiles(world, z)
        assert {tile: decoded(aggregates.render(*tile)) for tile in tiles} == tiles
        assert {0, (1 << z) - 1} <= {tile.y for tile in tiles}
        if z >= 4:  # the centre of a coarser cell may lie beyond the antimeridian
            margin = (1 << z) // 200
            assert min(tile.x for tile in tiles) <= margin
            assert max(tile.x for tile in tiles) >= (1 << z) - 1 - margin


# -- H3 indexes as bits -----------------------------------------------------------------------------------------------

cells = st.builds(lambda spot, res: h3.latlng_to_cell(*spot, res), spots, st.integers(0, 15))


@given(cells, st.data())
def test_parents_by_bits_are_those_of_the_library(cell: int, data: st.DataObject) -> None:
    res = data.draw(st.integers(0, h3.get_resolution(cell)))
    assert parent_cells(np.array([cell], np.uint64), res).tolist() == [h3.cell_to_parent(cell, res)]


def test_parents_of_pentagons_are_those_of_the_library() -> None:
    for res in range(BASE_RES + 1):
        for pentagon in h3.get_pentagons(res):
            finer = np.array(sorted(h3.cell_to_children(pentagon, res + 2)), np.uint64)
            assert parent_cells(finer, res + 1).tolist() == [h3.cell_to_parent(c, res + 1) for c in finer.tolist()]
            assert set(parent_cells(finer, res).tolist()) == {pentagon}


@given(spots, st.integers(0, 12), st.integers(1, 3))
def test_the_descendants_of_a_cell_are_one_range(spot: tuple[float, float], res: int, deeper: int) -> None:
    cell = h3.latlng_to_cell(*spot, res)
    low, high = (int(bound[0]) for bound in descendant_range(np.array([cell], np.uint64), res, res + deeper))
    children = h3.cell_to_children(cell, res + deeper)
    assert all(low <= child < high for child in children)
    around = [c for neighbour in h3.grid_disk(cell, 1) for c in h3.cell_to_children(neighbour, res + deeper)]
    assert {c for c in around if low <= c < high} == set(children)


@given(cells)
def test_a_feature_id_tells_its_cell_and_fits_a_javascript_number(cell: int) -> None:
    (feature_id,) = feature_ids(np.array([cell], np.uint64)).tolist()
    assert 0 <= feature_id < 1 << 52
    assert cell_of_feature_id(feature_id) == cell


@given(st.integers(-5, 1 << 65))
def test_any_number_is_a_feature_id_or_refused(number: int) -> None:
    try:
        cell = cell_of_feature_id(number)
    except ValueError:
        return
    assert feature_ids(np.array([cell], np.uint64)).tolist() == [number]


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1))
def test_random_numbers_are_not_taken_for_cells(numbers: list[int]) -> None:
    for number in numbers:
        if not h3.is_valid_cell(number):
            with pytest.raises(ValueError):
                check_cells(np.array([number], np.uint64), BASE_RES)
            with pytest.raises(ValueError):
                centre_positions(np.array([number], np.uint64))


# -- the index --------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(-50, 50), max_size=12), min_size=1, max_size=8), st.data())
def test_the_key_index_finds_what_a_dictionary_would(batches: list[list[int]], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_index, "MERGE_AT_LEAST", 3)
        index = KeyIndex(np.array(batches[0], np.int64))
        for batch in batches[1:]:
            index.append(np.array(batch, np.int64))
    keys = [key for batch in batches for key in batch]
    rows = {key: {row for row, other in enumerate(keys) if other == key} for key in range(-52, 53)}
    asked = np.arange(-52, 53)
    for key, row in zip(asked.tolist(), index.find(asked).tolist(), strict=True):
        assert row in rows[key] if rows[key] else row == -1
    low, length = data.draw(st.integers(-52, 52)), data.draw(st.integers(0, 20))
    ranges = np.array([low, low + length]), np.array([low + length, low + 2 * length])  # one after the other
    assert sorted(index.between(*ranges).tolist()) == [r for r, key in enumerate(keys) if low <= key < low + 2 * length]


# -- what is refused --------------------------------------------------------------------------------------------------

CELL = h3.latlng_to_cell(48.0, 2.0, BASE_RES)
ONE = np.array([1], np.uint16)
GOOD = Members(np.array([CELL], np.uint64), np.array([5]), ONE, ONE, ONE, ONE, np.array([50.0]))
NO_CELL = np.array([CELL | 0x7F << 45], np.uint64)  # base cell 127


@pytest.mark.parametrize("wrong", [
    {"cells": np.array([CELL], np.int64)}, {"cells": parent_cells(GOOD.cells, 6)}, {"cells": NO_CELL},
    {"cells": np.array([0], np.uint64)}, {"cells": GOOD.cells.reshape(1, 1)}, {"nums": np.array([-1])},
    {"nums": np.array([1, 2])}, {"nums": np.array([5], np.uint64)}, {"free": np.array([-1])},
    {"free": np.array([1.0])}, {"free": np.array([1 << 31])}, {"busy": np.array([1 << 63], np.uint64)},
    {"max_kw": np.array([np.nan])}, {"max_kw": np.array([np.inf])}, {"max_kw": np.array([-1.0])},
    {"max_kw": np.array([1e30])},
], ids=str)  # fmt: skip
def test_members_that_make_no_sense_are_refused_and_change_nothing(wrong: dict[str, Any]) -> None:
    world = {1: Place(48.0, 2.0, 1, 0, 0, 0, 50.0)}
    aggregates = built(world)
    before = [aggregates.render(*centre_tile(CELL, z)) for z in ZOOMS]
    members = GOOD._replace(**wrong)
    with pytest.raises(ValueError):
        aggregates.rebuild(members)
    with pytest.raises(ValueError):
        dirty = np.union1d(members.cells, GOOD.cells) if members.cells.dtype == np.uint64 else members.cells
        aggregates.update(dirty, members)
    assert [aggregates.render(*centre_tile(CELL, z)) for z in ZOOMS] == before


def test_members_outside_the_dirty_cells_are_refused() -> None:
    elsewhere = np.array([h3.latlng_to_cell(0.0, 0.0, BASE_RES)], np.uint64)
    with pytest.raises(ValueError, match="dirty"):
        Aggregates().update(elsewhere, GOOD)


@pytest.mark.parametrize("z, x, y", [(11, 0, 0), (-1, 0, 0), (3, 8, 0), (3, 0, -1)])
def test_a_tile_that_aggregates_do_not_have_is_refused(z: int, x: int, y: int) -> None:
    aggregates = built({})
    asks: list[Callable[[int, int, int], Any]] = [aggregates.render, partial(aggregates.placed, new=NO_CELLS)]
    for ask in asks:
        with pytest.raises(ValueError, match="must be from 0 to"):
            ask(z, x, y)
