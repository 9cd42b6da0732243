"""JSON answers against the oracle: summaries, lists page by page, nearby, one station; odd ids. Promise R7."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st
from hypothesis.stateful import rule

from cache.codec import pack_doc
from geo.filters import NO_FILTER, Filter
from geo.hours import zone_for
from geo.party_clocks import PartyClock
from geo.record import StationRecord, make_record
from geo.station import Station, Status
from geo.tilemath import Tile
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.instants import instant
from mapsvc.problems import NotFound
from mapsvc.reading import Reader
from mapsvc.tiles import Tiles
from tests.geo.comparing import NOISE_M, assert_ranked
from tests.geo.model_world import CLASSES, Found, ModelWorld, State, Told, mercator
from tests.geo.worlds import (
    DAY,
    START_MS,
    USEFUL,
    WorldMachine,
    examples,
    filters,
    make_evse,
    make_station,
    packed,
    queries,
    record,
)
from tests.mapsvc.roads.without import no_drive_times  # fmt: skip

Handler = Callable[[web.Request], Coroutine[Any, Any, web.Response]]
NOTHING: Mapping[str, Any] = MappingProxyType({})
useful = st.sampled_from(USEFUL)
NAMES = dict(zip(("unknown", "available", "busy", "out_of_service"), CLASSES, strict=True))


def text(ms: int | None) -> str | None:
    """RFC 3339, UTC."""
    if not ms:
        return None
    at = datetime.fromtimestamp(ms // 1000, UTC).isoformat().removesuffix("+00:00")
    return f"{at}.{ms % 1000:03d}Z" if ms % 1000 else f"{at}Z"


def expected_summary(model: ModelWorld, num: int, wanted: Filter) -> dict[str, Any]:
    station, counts = model.stations[num].station, model.counts(num, wanted.connector)
    changed_ms, seen_ms = model.latest(num)
    standing = {state.slot for state in model.evse_states(num)}
    return {
        "id": f"{station.party}~{station.location_id}",
        **{name: getattr(station, name) for name in ("name", "address", "city", "operator", "lat", "lon")},
        "connectors": sorted({c.standard for evse in station.evses if evse.slot in standing for c in evse.connectors}),
        "max_power_kw": model.max_kw(num, wanted.connector) or None,
        "evses": {"total": sum(counts.values()), **{name: counts[of] for name, of in NAMES.items()}},
        "open_now": model.is_open(num),
        "changed_at": text(changed_ms),
        "seen_at": text(seen_ms),
    }


def assert_station_body(model: ModelWorld, num: int, body: dict[str, Any]) -> None:
    station, counts = model.stations[num].station, model.counts(num)
    assert (body["id"], body["lat"], body["lon"]) == (
        f"{station.party}~{station.location_id}",
        station.lat,
        station.lon,
    )
    assert body["evse_counts"] == {"total": sum(counts.values()), **{name: counts[of] for name, of in NAMES.items()}}
    assert body["open_now"] == model.is_open(num)
    assert body["last_updated"] == text(station.last_updated_ms)
    assert not {"publish", "last_updated_ms"} & body.keys()
    named = {evse.slot: evse for evse in station.evses}
    shown = [state for state in model.evse_states(num) if state.slot in named]
    assert {e["uid"]: e for e in body["evses"]}.keys() == {named[state.slot].uid for state in shown}
    told = {e["uid"]: e for e in body["evses"]}
    for state in shown:
        evse = told[named[state.slot].uid]
        assert (evse["status"], evse["reported_status"]) == (Status(state.status).name, Status(state.reported).name)
        instants = [evse[name] for name in ("changed_at", "seen_at", "expires_at")]
        assert instants == [text(ms) for ms in (state.changed_ms, state.seen_ms, state.expires_ms)]
        assert [c["standard"] for c in evse["connectors"]] == [c.standard for c in named[state.slot].connectors]
        assert "slot" not in evse


def query_of(wanted: Filter) -> dict[str, str]:
    """The filter as a client writes it."""
    c = wanted.connector
    told = {
        "connector": ",".join(c.connectors), "min_power_kw": c.min_power_kw, "max_power_kw": c.max_power_kw,
        "available": wanted.available, "operator": ",".join(wanted.operators),
        "exclude_operator": ",".join(wanted.exclude_operators), "facility": ",".join(wanted.facilities),
        "open_now": "true" if wanted.open_now else "",
    }  # fmt: skip
    told["min_power_kw"] = None if c.min_power_kw is None else f"{c.min_power_kw:g}"
    return {name: f"{value}" for name, value in told.items() if value not in (None, "", 0)}


BOXES = (
    (-180, -90, 180, 90), (2.3, 48.8, 2.4, 48.9), (2.3522, 48.8566, 2.3522, 48.8566), (179, -17, -179, -16),
    (179, -17, 180, -16), (-180, -17, -179, -16), (180, -17, 180, -16), (170, 80, 100, 90), (-180, -90, 180, -89.95),
    (-0.0001, 0, 0, 0),
)  # fmt: skip


def is_inside(station: Station, box: tuple[float, ...]) -> bool:
    west, south, east, north = box
    lons = {station.lon, -station.lon} if abs(station.lon) == 180 else {station.lon}
    inside = any(west <= lon <= east if west <= east else lon >= west or lon <= east for lon in lons)
    return inside and south <= station.lat <= north


def packed_record(told: Told) -> StationRecord:
    """As the replica gets it: its document packed."""
    if told.station is None:
        return record(told)
    return make_record(told.station, told.num, told.n, pack_doc, zone_for)


class Service:
    """The read handlers over a world, at a time of our choosing."""

    def __init__(self, world: World, now_ms: Callable[[], int]) -> None:
        self.world = world
        self.tiles, self.bodies = Tiles(world), Bodies(world)
        self.reader = Reader(
            world, self.tiles, self.bodies, now_ms, lambda: True, "http://maps.test", no_drive_times(world)
        )
        self.runner = asyncio.Runner()

    def get(self, handler: Handler, query: Mapping[str, Any] = NOTHING, match: Mapping[str, str] = NOTHING,
            headers: Mapping[str, str] = NOTHING) -> web.Response:  # fmt: skip
        asked = make_mocked_request("GET", f"/?{urlencode(query, safe=',')}", headers, match_info=dict(match))
        return self.runner.run(handler(asked))

    def json(self, handler: Handler, query: Mapping[str, Any] = NOTHING, match: Mapping[str, str] = NOTHING) -> Any:
        body = self.get(handler, query, match).body
        assert isinstance(body, bytes)
        return orjson.loads(body)


STRANGER = make_station(1, 48.8566, 2.3522)


class BodiesAreTrue(WorldMachine):
    def __init__(self) -> None:
        super().__init__()
        self.service = Service(self.world, lambda: self.now_ms)
        self.bodies, self.reader = self.service.bodies, self.service.reader
        self.steps = 0

    def teardown(self) -> None:
        self.service.runner.close()

    def record(self, told: Told) -> StationRecord:
        return packed_record(told)

    def ask(self, handler: Handler, query: dict[str, Any]) -> tuple[dict[str, Any], web.Response]:
        response = self.service.get(handler, query)
        assert isinstance(response.body, bytes)
        return orjson.loads(response.body), response

    @rule(query=queries, wanted=filters | useful)
    def nearby(self, query: tuple[tuple[float, float], float, int], wanted: Filter) -> None:
        (lat, lon), radius_m, limit = query
        self.ask_nearby(make_station(1, round(lat, 9), round(lon, 9)), radius_m, limit, wanted)

    def ask_nearby(self, at: Station, radius_m: float, limit: int, wanted: Filter) -> None:
        asked = {"lat": f"{at.lat:.9f}", "lon": f"{at.lon:.9f}", "radius_m": radius_m, "limit": limit}
        told, response = self.ask(self.reader.nearby, {**asked, **query_of(wanted)})
        assert response.headers["Cache-Control"] == "no-store"
        num_of = {f"{at.station.party}~{at.station.location_id}": num for num, at in self.model.stations.items()}
        around = self.model.within(float(f"{at.lat:.9f}"), float(f"{at.lon:.9f}"), radius_m + NOISE_M)
        metres = {found.num: found.metres for found in around}
        hits = []
        for item in told["stations"]:
            num, shown_m = num_of[item["id"]], item.pop("distance_m")
            assert abs(shown_m - metres[num]) <= 0.05 + NOISE_M
            assert item == expected_summary(self.model, num, wanted)
            hits.append(Found(metres[num], item["id"].casefold(), num))
        passing = [found for found in around if self.model.passes(found.num, wanted)]
        assert_ranked(hits, passing, radius_m, limit)
        assert ("excluded_unknown_hours" in told) == wanted.open_now

    @rule(box=st.sampled_from(BOXES), wanted=filters | useful, limit=st.sampled_from((1, 2, 3, 1000)))
    def page_through_a_box(self, box: tuple[float, ...], wanted: Filter, limit: int) -> None:
        inside = [num for num, at in sorted(self.model.stations.items()) if is_inside(at.station, box)]
        self._page_through({"bbox": ",".join(map(str, box)), "limit": limit}, inside, wanted, limit)

    @rule(nums=st.lists(st.integers(1, 7), min_size=1), wanted=filters | useful, limit=st.sampled_from((1, 2, 1000)))
    def page_through_ids(self, nums: list[int], wanted: Filter, limit: int) -> None:
        ids = [make_station(num, 0, 0).id.swapcase() for num in nums]
        there = [num for num in sorted(set(nums)) if num in self.model.stations]
        self._page_through({"ids": ",".join(ids), "limit": limit}, there, wanted, limit)

    def _page_through(self, asked: dict[str, Any], nums: list[int], wanted: Filter, limit: int) -> None:
        """Page by page by following the links: all that pass, once each, and all that nobody knows the hours of."""
        passing = [num for num in nums if self.model.passes(num, wanted)]
        unknown = sum(self.model.passes(num, wanted) is None for num in nums)
        query: dict[str, Any] | None = asked | query_of(wanted)
        items, excluded = [], 0
        while query is not None:
            told, response = self.ask(self.reader.stations, query)
            items += told["stations"]
            excluded += told.get("excluded_unknown_hours", 0)
            assert len(told["stations"]) <= limit
            link = response.headers.get("Link")
            assert link is None or len(told["stations"]) == limit
            query = None if link is None else dict(parse_qsl(urlsplit(link[1 : link.index(">")]).query))
        assert items == [expected_summary(self.model, num, wanted) for num in passing]
        assert excluded == unknown

    def check(self) -> None:
        rows = self.rows()
        nums, at = sorted(rows), np.array([rows[num] for num in sorted(rows)], np.int32)
        summaries = self.bodies.summaries(at)
        for told in (list(map(orjson.loads, summaries.split())), orjson.loads(b"[%b]" % summaries.joined)):
            assert told == [expected_summary(self.model, num, NO_FILTER) for num in nums]
        for num, row in rows.items():
            assert_station_body(self.model, num, orjson.loads(self.bodies.station(row)))
        self.steps += 1
        wanted = USEFUL[self.steps % len(USEFUL)]
        self._page_through({"bbox": "-180,-90,180,90", "limit": 1}, nums, wanted, 1)
        box = BOXES[self.steps % len(BOXES)]
        inside = [num for num in nums if is_inside(self.model.stations[num].station, box)]
        self._page_through({"bbox": ",".join(map(str, box)), "limit": 1000}, inside, NO_FILTER, 1000)
        self.ask_nearby(next((at.station for at in self.model.stations.values()), STRANGER), 200_000.0, 20, wanted)


TestBodies = BodiesAreTrue.TestCase
TestBodies.settings = examples(15)


# -- time flips what is shown, exactly --------------------------------------------------------------------------------

HERE = (48.8566, 2.3522)
TTL_MS = 900_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[Service]:
    service = Service(World(), lambda: clock.now_ms)
    yield service
    service.runner.close()


def put(service: Service, clock: Clock, *stations: Station, status: Status = Status.AVAILABLE) -> None:
    """Stations num 1, 2 …, every EVSE seen now."""
    told = [Told(num, 1, station) for num, station in enumerate(stations, 1)]
    states = [State(t.num, e.slot, 2, status, clock.now_ms - 7, clock.now_ms)
              for t in told if t.station for e in t.station.evses]  # fmt: skip
    service.world.put([packed_record(t) for t in told], packed(states), clock.now_ms)


TILES = [Tile(z, *mercator(*HERE, z)[:2]) for z in (0, 7, 10, 11, 14)]


def looks(service: Service, filtered: dict[str, Any]) -> dict[str, bytes]:
    """Every answer that shows a station, and the ETags of those that have one."""
    reader, here = service.reader, {"lat": HERE[0], "lon": HERE[1]}
    asked: dict[str, tuple[Handler, dict[str, Any], dict[str, str]]] = {
        "station": (reader.station, {}, {"id": "DE*ABC~L3"}),
        "nearby": (reader.nearby, here, {}),
        "nearby filtered": (reader.nearby, here | filtered, {}),
        "list": (reader.stations, {"bbox": "2,48,3,49"}, {}),
        "list filtered": (reader.stations, {"bbox": "2,48,3,49", **filtered}, {}),
    }
    for tile in TILES:
        at = dict(zip("zxy", map(str, tile), strict=True))
        asked |= {f"tile {tile.z}": (reader.tile, {}, at), f"tile {tile.z} filtered": (reader.tile, filtered, at)}
    looks = {}
    for name, (handler, query, match) in asked.items():
        response = service.get(handler, query, match)
        assert isinstance(response.body, bytes)
        looks[name] = response.body
        etag = response.headers.get("ETag")
        if etag is not None:
            looks[f"etag of {name}"] = etag.encode()
            assert service.get(handler, query, match, {"If-None-Match": etag}).status == 304
    return looks


def flips(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_an_expired_status_is_nowhere_shown_as_live(service: Service, clock: Clock) -> None:
    """R7: every answer and every ETag is another one at the very millisecond, and none is before."""
    put(
        service,
        clock,
        make_station(3, *HERE, [make_evse(0)]),
    )
    asked = {"available": ""}
    first = looks(service, asked)
    for before_ms in (1000, 1):
        clock.now_ms = START_MS + TTL_MS - before_ms
        assert flips(first, looks(service, asked)) == set()
    for after_ms in (0, 1, 1000):
        clock.now_ms = START_MS + TTL_MS + after_ms
        assert flips(first, looks(service, asked)) == first.keys(), after_ms
    assert service.json(service.reader.nearby, {"lat": HERE[0], "lon": HERE[1], "available": ""}) == {"stations": []}
    evse = service.json(service.reader.station, match={"id": "DE*ABC~L3"})["evses"][0]
    assert (evse["status"], evse["reported_status"]) == ("UNKNOWN", "AVAILABLE")
    assert evse["expires_at"] == text(START_MS + TTL_MS)


def test_a_tile_kept_for_its_pause_is_true_again_after_it(service: Service, clock: Clock) -> None:
    """R7 where it is tightest: asked for one millisecond before the TTL ran out, and a second after."""
    put(service, clock, make_station(3, *HERE, [make_evse(0)]))
    clock.now_ms = START_MS + TTL_MS - 1
    last = looks(service, {"available": ""})
    clock.now_ms = START_MS + TTL_MS + 999
    assert flips(last, looks(service, {"available": ""})) == last.keys()


def test_a_confirmation_or_heartbeat_in_time_keeps_it_live_and_a_late_one_revives_it(
    service: Service, clock: Clock
) -> None:
    put(service, clock, make_station(3, *HERE, [make_evse(0)]))
    tiles = ["tile 0", "tile 14", "tile 14 filtered", "etag of tile 7 filtered"]
    first = looks(service, {"available": ""})
    clock.now_ms = START_MS + 600_000
    one, none = np.array([1]), np.array([0])
    service.world.confirm(one, none, np.array([clock.now_ms]), clock.now_ms)
    clock.now_ms = START_MS + TTL_MS + 1000
    confirmed = looks(service, {"available": ""})
    assert not flips(first, confirmed) & set(tiles)
    assert confirmed["station"] != first["station"]  # its instants moved
    clock.now_ms = START_MS + 600_000 + TTL_MS + 1000
    assert flips(first, looks(service, {"available": ""})) >= set(tiles)
    service.world.set_parties({"DE*ABC": PartyClock(900, clock.now_ms)}, clock.now_ms)
    clock.now_ms += 1000
    assert not flips(first, looks(service, {"available": ""})) & set(tiles)
    clock.now_ms += 1000
    service.world.set_parties({"DE*ABC": PartyClock(None, clock.now_ms)}, clock.now_ms)  # a register, from now on
    clock.now_ms += 1000
    assert flips(first, looks(service, {"available": ""})) >= set(tiles)
    assert service.json(service.reader.station, match={"id": "DE*ABC~L3"})["evses"][0]["expires_at"] is None


def test_opening_hours_turn_bodies_and_filtered_tiles_at_the_very_millisecond(service: Service, clock: Clock) -> None:
    put(service, clock, make_station(3, *HERE, [make_evse(0)], opening_times=DAY))
    closes_ms = int(datetime(2026, 9, 21, 18, 30, tzinfo=ZoneInfo("Europe/Paris")).timestamp() * 1000)
    service.world.set_parties({"DE*ABC": PartyClock(10**6)}, clock.now_ms)
    clock.now_ms = closes_ms - 1
    last = looks(service, {"open_now": "true"})
    clock.now_ms = closes_ms + 1000 - 1
    shown = {"station", "etag of station", "nearby", "list"} | {name for name in last if "filtered" in name}
    closed = looks(service, {"open_now": "true"})
    assert flips(last, closed) == shown
    assert orjson.loads(closed["nearby filtered"]) == {"stations": [], "excluded_unknown_hours": 0}
    assert orjson.loads(closed["station"])["open_now"] is False
    clock.now_ms = closes_ms + (13 * 60 + 30) * 60_000  # 8 in the morning
    assert flips(last, looks(service, {"open_now": "true"})) == set()


def test_hours_that_nobody_knows_are_left_out_and_counted(service: Service, clock: Clock) -> None:
    put(service, clock, make_station(3, *HERE), make_station(6, *HERE, opening_times=DAY))
    told = service.json(service.reader.nearby, {"lat": HERE[0], "lon": HERE[1], "open_now": "1"})
    assert [item["id"] for item in told["stations"]] == ["DE*ABC~L6"]
    assert told["excluded_unknown_hours"] == 1


# -- ids and instants -------------------------------------------------------------------------------------------------

ODD_IDS = ("a b", "a/b", "50%", "a,b", "é~ß", "A+B", "a&b=c#d?", "x%41", "100%25")


@pytest.mark.parametrize("location_id", ODD_IDS)
def test_a_station_is_found_by_the_id_that_it_was_shown_with(service: Service, clock: Clock, location_id: str) -> None:
    station = msgspec.structs.replace(make_station(3, *HERE), location_id=location_id)
    put(service, clock, station)
    (shown,) = service.json(service.reader.stations, {"bbox": "2,48,3,49"})["stations"]
    assert shown["id"] == quote(f"DE*ABC~{location_id}", safe="*~")
    for one in (shown["id"], shown["id"].swapcase() if "%" not in shown["id"] else shown["id"]):
        assert service.json(service.reader.stations, {"ids": one})["stations"] == [shown]
        assert service.json(service.reader.station, match={"id": unquote(one)})["id"] == shown["id"]


def test_no_station_has_another_ones_id(service: Service, clock: Clock) -> None:
    put(service, clock, make_station(3, *HERE))
    with pytest.raises(NotFound):
        service.get(service.reader.station, match={"id": "DE*ABC~L"})
    assert service.json(service.reader.stations, {"ids": "DE*ABC~L,irve~L0"}) == {"stations": []}
    assert len(service.json(service.reader.stations, {"ids": "DE*ABC~L3,de*abc~l3"})["stations"]) <= 1


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (None, None), (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.001Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (1_790_000_000_000, "2026-09-21T14:13:20Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_instants_are_rfc_3339(ms: int | None, shown: str | None) -> None:
    assert instant(ms) == shown
