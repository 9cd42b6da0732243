"""Answers compared with brute force over the snapshot, before anything is timed.

Nothing of the service is used here: distances, filters, tiles and sums are worked out anew and simply. An answer may differ
where two stations stand equally far (within `tolerance_m`: a peer may keep positions rounded) and where a position lies on
the border of a tile; nowhere else.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h3.api.basic_int as h3
import mapbox_vector_tile
import numpy as np
import orjson
from numpy.typing import NDArray

from loadtests.bench.questions import LIMIT, RADIUS_M, Point, metres
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.snapshot import COUNT_NAMES, FREE, Floats, Ints, Snapshot

Tile = tuple[int, int, int]  # z, x, y
EXTENT = 4096
EXACT_BELOW = 100  # our station tiles round larger numbers down to a step
BASE_RES = 7  # our aggregates are sums of cells of this resolution …
RES_OF_ZOOM = (0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7)  # … by their parents of these
TILE_NAMES = ("free", "busy", "out_of_service", "unknown")


@dataclass(frozen=True)
class Wanted:
    """A filter as the API understands it: connector and power on the same connector, counts of EVSEs that have one."""

    connector: str = ""
    min_power_kw: float | None = None
    available: int = 0

    @property
    def query(self) -> str:
        parts = [f"connector={self.connector}"] if self.connector else []
        parts += [f"min_power_kw={self.min_power_kw:g}"] if self.min_power_kw is not None else []
        parts += [f"available={self.available}"] if self.available else []
        return "".join(f"&{part}" for part in parts)


NOTHING_WANTED = Wanted()


class Oracle:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._row_of_id = {told: row for row, told in enumerate(snapshot.ids)}
        self._filtered: dict[Wanted, tuple[NDArray[np.bool_], Ints, Floats]] = {}

    # -- filters ------------------------------------------------------------------------------------------------------

    def filtered(self, wanted: Wanted) -> tuple[NDArray[np.bool_], Ints, Floats]:
        """For every station: is it kept, its counts and its largest power that follow the filter."""
        if wanted not in self._filtered:
            self._filtered[wanted] = self._filter(wanted)
        return self._filtered[wanted]

    def _filter(self, wanted: Wanted) -> tuple[NDArray[np.bool_], Ints, Floats]:
        s = self.snapshot
        if not wanted.connector and wanted.min_power_kw is None:
            counts, kw, keep = s.counts, s.max_kw, np.ones(len(s), np.bool_)
        else:
            fits = np.ones(len(s.plug_evse), np.bool_)
            if wanted.connector:
                known = wanted.connector in s.standards
                fits &= s.plug_standard == (s.standards.index(wanted.connector) if known else -1)
            if wanted.min_power_kw is not None:
                fits &= s.plug_kw >= wanted.min_power_kw  # NaN: not known, does not fit
            evses = np.unique(s.plug_evse[fits])
            counts = np.zeros((len(s), 4), np.int64)
            np.add.at(counts, (s.evse_station[evses], s.evse_class[evses]), 1)
            kw = np.zeros(len(s))
            np.maximum.at(kw, s.evse_station[s.plug_evse[fits]], np.nan_to_num(s.plug_kw[fits]))
            keep = counts.sum(axis=1) > 0
        return keep & (counts[:, FREE] >= wanted.available), counts, kw

    # -- nearby -------------------------------------------------------------------------------------------------------

    def check_nearby(
        self,
        who: str,
        body: bytes,
        at: Point,
        wanted: Wanted = NOTHING_WANTED,
        *,
        radius_m: float = RADIUS_M,
        tolerance_m: float = 0.1,
    ) -> None:
        """Raises WrongAnswerError unless these are the nearest, in order, told as they are."""
        keep, counts, kw = self.filtered(wanted)
        away = metres(self.snapshot, at)
        candidates = np.sort(away[keep & (away <= radius_m + tolerance_m)])[: LIMIT + 1]
        told = _stations_of(who, body)
        rows = [self._row(who, station) for station in told]
        if len(set(rows)) != len(rows):
            raise WrongAnswerError(f"{who} at {at}: a station twice")
        if not all(keep[rows]):
            raise WrongAnswerError(f"{who} at {at}: a station that the filter {wanted} excludes")
        certain = np.count_nonzero(candidates[:LIMIT] <= radius_m - tolerance_m)
        if not certain <= len(rows) <= min(LIMIT, len(candidates)):
            raise WrongAnswerError(f"{who} at {at}: {len(rows)} stations instead of {min(LIMIT, len(candidates))}")
        # The k-th told is as far as the k-th nearest: so these are the nearest, in order, equal distances apart.
        off = np.abs(away[rows] - candidates[: len(rows)])
        if np.any(off > tolerance_m):
            k = int(np.argmax(off > tolerance_m))
            raise WrongAnswerError(
                f"{who} at {at}: place {k + 1} is {told[k]['id']}, {away[rows[k]]:.1f} m away; the one there is "
                f"{candidates[k]:.1f} m away"
            )
        for station, row in zip(told, rows, strict=True):
            self._check_summary(who, station, row, float(away[row]), counts[row], float(kw[row]), tolerance_m)

    def _row(self, who: str, station: Mapping[str, Any]) -> int:
        row = self._row_of_id.get(station.get("id", ""))
        if row is None:
            raise WrongAnswerError(f"{who}: there is no station {station.get('id')!r}")
        return row

    def _check_summary(
        self, who: str, told: Mapping[str, Any], row: int, away: float, counts: Ints, kw: float, tolerance_m: float
    ) -> None:
        expected = self.summary(row)
        numbers = dict(zip(COUNT_NAMES, counts.tolist(), strict=True))
        expected["evses"] = {"total": int(counts.sum()), **numbers}
        expected["max_power_kw"] = round(float(np.float32(kw)), 1) or None
        for name, value in expected.items():
            if name != "open_now" and told.get(name) != value:
                raise WrongAnswerError(f"{who}: {told['id']} has {name} {told.get(name)!r} instead of {value!r}")
        # One decimal is told, of a sphere whose radius a peer may give as 6,371 km: some 1.4 in a million.
        if abs(told["distance_m"] - away) > tolerance_m + 0.05 + 2e-6 * away:
            raise WrongAnswerError(f"{who}: {told['id']} is {away:.1f} m away, not {told['distance_m']}")

    def summary(self, row: int) -> dict[str, Any]:
        start, end = int(self._line_ends[row]), int(self._line_ends[row + 1])
        found: dict[str, Any] = orjson.loads(self._mapped[start:end])
        return found

    @cached_property
    def _mapped(self) -> mmap.mmap:
        with self.snapshot.summaries.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def _line_ends(self) -> Ints:
        ends, at = [0], 0
        with self.snapshot.summaries.open("rb") as file:
            for line in file:
                at += len(line)
                ends.append(at)
        return np.array(ends, np.int64)

    # -- station tiles ------------------------------------------------------------------------------------------------

    @cached_property
    def _projected(self) -> tuple[Floats, Floats]:
        """Web Mercator in units of the world's width: EPSG Guidance Note 7-2, method 1024."""
        lat = np.clip(self.snapshot.lat, -85.05112877980659, 85.05112877980659)
        u = (self.snapshot.lon + 180) / 360
        v = 0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)
        return u - np.floor(u), np.clip(v, 0, np.nextafter(1, 0))

    def rows_in(self, tile: Tile) -> Ints:
        z, x, y = tile
        u, v = self._projected
        return np.flatnonzero((np.floor(u * 2**z) == x) & (np.floor(v * 2**z) == y))

    def tiles(self, z: int) -> list[tuple[Tile, int]]:
        """Every tile of a zoom that has stations, and how many; the fullest first."""
        u, v = self._projected
        keys, counts = np.unique(
            np.floor(u * 2**z).astype(np.int64) << 32 | np.floor(v * 2**z).astype(np.int64), return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        return [((z, int(keys[i]) >> 32, int(keys[i]) & 0xFFFF_FFFF), int(counts[i])) for i in order]

    def check_station_tile(self, who: str, body: bytes, tile: Tile) -> int:
        """How many features it has."""
        rows = {int(self.snapshot.num[row]): row for row in self.rows_in(tile).tolist()}
        told = _features(who, body, "stations")
        position = self._pixels(tile)
        for num, (x, y, properties) in told.items():
            row = rows.pop(num, None)
            if row is None:
                if not _on_border(x, y):
                    raise WrongAnswerError(f"{who}: tile {tile} shows station {num}, which does not stand there")
                continue
            px, py = position[0][row], position[1][row]
            if abs(px - x) > 1 or abs(py - y) > 1:
                raise WrongAnswerError(f"{who}: tile {tile} shows station {num} at {x},{y} and not {px:.1f},{py:.1f}")
            self._check_tags(who, tile, num, row, properties)
        missing = [num for num, row in rows.items() if not _on_border(position[0][row], position[1][row])]
        if missing:
            raise WrongAnswerError(f"{who}: tile {tile} lacks {len(missing)} stations, station {missing[0]} among them")
        return len(told)

    def _pixels(self, tile: Tile) -> tuple[Floats, Floats]:
        z, x, y = tile
        u, v = self._projected
        return (u * 2**z - x) * EXTENT, (v * 2**z - y) * EXTENT

    def tile_columns(self) -> NDArray[np.int64]:
        """status, free, busy, out of service, unknown, total, kW of every station, as our tiles show them."""
        s = self.snapshot
        free, busy, broken, unknown = s.counts.T
        status = np.where(free > 0, 1, np.where(busy > 0, 2, np.where(broken > 0, 3, 0)))
        return np.stack((status, free, busy, broken, unknown, s.total, np.floor(s.max_kw).astype(np.int64)), axis=1)

    def _check_tags(self, who: str, tile: Tile, num: int, row: int, told: Mapping[str, Any]) -> None:
        names = ("status", *TILE_NAMES, "total", "kw")
        for name, value in zip(names, self._tags[row].tolist(), strict=True):
            found = told.get(name)
            if found != value and not (found is not None and value >= EXACT_BELOW <= found <= value):
                raise WrongAnswerError(f"{who}: tile {tile}, station {num}: {name} is {found!r} instead of {value}")

    @cached_property
    def _tags(self) -> NDArray[np.int64]:
        return self.tile_columns()

    # -- aggregates ---------------------------------------------------------------------------------------------------

    @cached_property
    def _base_cells(self) -> list[int]:
        s = self.snapshot
        return [h3.latlng_to_cell(lat, lon, BASE_RES) for lat, lon in zip(s.lat.tolist(), s.lon.tolist(), strict=True)]

    def aggregates(self, z: int, wanted: Wanted = NOTHING_WANTED) -> dict[Tile, Counter[tuple[int, ...]]]:
        """By tile: what its cells say (stations, then EVSEs by availability), without their order."""
        keep, counts, _ = self.filtered(wanted)
        sums: dict[int, list[int]] = {}
        for row in np.flatnonzero(keep).tolist():
            cell = h3.cell_to_parent(self._base_cells[row], RES_OF_ZOOM[z])
            total = sums.setdefault(cell, [0, 0, 0, 0, 0])
            total[0] += 1
            for k, count in enumerate(counts[row].tolist()):
                total[k + 1] += count
        found: dict[Tile, Counter[tuple[int, ...]]] = {}
        for cell, total in sums.items():
            lat, lon = h3.cell_to_latlng(cell)
            found.setdefault(tile_of(lat, lon, z), Counter())[tuple(total)] += 1
        return found

    def check_aggregate_tile(self, who: str, body: bytes, tile: Tile, expected: Counter[tuple[int, ...]]) -> int:
        """How many features it has."""
        told = Counter(
            (int(p["count"]), *(int(p[name]) for name in TILE_NAMES))
            for _, _, p in _listed_features(who, body, "aggregates")
        )
        if told != expected:
            lacking, surplus = expected - told, told - expected
            raise WrongAnswerError(f"{who}: tile {tile} lacks {_some(lacking)} and has {_some(surplus)} too many")
        return told.total()

    def count_features(self, body: bytes) -> int:
        """Those of a tile and its margin: what a peer has to encode."""
        return len(_listed_features("a peer", body, "aggregates"))

    def check_clusters(self, who: str, bodies: Iterable[bytes]) -> int:
        """All tiles of a zoom together: however a peer draws its clusters, each station is in one of them. Returns how
        many features there are. Features in a tile's margin belong to its neighbour."""
        sums, features = np.zeros(5, np.int64), 0
        for body in bodies:
            if not body:
                continue
            for x, y, p in _listed_features(who, body, "aggregates"):
                if 0 <= x < EXTENT and 0 <= y < EXTENT:
                    sums += [p["count"], *(p[name] for name in TILE_NAMES)]
                    features += 1
        expected = np.array([len(self.snapshot), *self.snapshot.counts.sum(axis=0)])
        # Some 12 stations of a region stand at the poles and on the date line, where a cluster's middle may be in no tile.
        if np.any(np.abs(sums - expected) > 1 + expected * 0.002):
            raise WrongAnswerError(f"{who}: all tiles together hold {sums.tolist()} instead of {expected.tolist()}")
        return features


def tile_of(lat: float, lon: float, z: int) -> Tile:
    u, v = (
        (lon + 180) / 360,
        0.5 - float(np.arcsinh(np.tan(np.radians(np.clip(lat, -85.0511287, 85.0511287))))) / (2 * np.pi),
    )
    side = 1 << z
    return z, int(u * side) % side, min(max(int(v * side), 0), side - 1)


def _stations_of(who: str, body: bytes) -> list[dict[str, Any]]:
    try:
        told: list[dict[str, Any]] = orjson.loads(body)["stations"]
    except (ValueError, KeyError, TypeError):
        raise WrongAnswerError(f"{who} answered {body[:200]!r}") from None
    return told


def _listed_features(who: str, body: bytes, layer: str) -> list[tuple[int, int, dict[str, Any]]]:
    """x, y (growing southwards) and properties, `id` among them where the feature has one."""
    if not body:
        return []
    try:
        layers = mapbox_vector_tile.decode(body, default_options={"y_coord_down": True})
    except Exception as error:  # whatever the decoder stumbles over, it is no tile
        raise WrongAnswerError(f"{who}: not a vector tile: {error}") from error
    found: dict[str, Any] = layers.get(layer) or next(iter(layers.values()), {"features": []})
    return [
        (*feature["geometry"]["coordinates"], {"id": feature.get("id"), **feature["properties"]})
        for feature in found["features"]
    ]


def _features(who: str, body: bytes, layer: str) -> dict[int, tuple[int, int, dict[str, Any]]]:
    """By station number: the feature's id, or its property `num` where a peer numbers features otherwise."""
    return {int(p.get("num") or p["id"]): (x, y, p) for x, y, p in _listed_features(who, body, layer)}


def _on_border(x: float, y: float) -> bool:
    return min(x, y) <= 1 or max(x, y) >= EXTENT - 1


def _some(cells: Counter[tuple[int, ...]]) -> str:
    return f"{cells.total()} cells{f' like {next(iter(cells))}' if cells else ''}"
