"""The issue's acceptance on real data: every answer about 7,146 real stations equals an oracle's, through HTTP.

The register and all feeds of ../shared/data are imported by the command and served by ingest, relay and two workers
(real_world.py). The oracle (oracle.py, oracle_tiles.py) reads PostgreSQL and computes alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import signal
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from yarl import URL

from tests.e2e.compare import session_with
from tests.e2e.oracle import EVERYTHING, Json, Moment, Place, Wanted
from tests.e2e.oracle_tiles import AGGREGATE_ZOOMS, STATION_ZOOMS, Features, Tile, decoded, features_of, owner
from tests.e2e.questions import (
    BOXES,
    DEFAULT_RADIUS_M,
    MIXED,
    SAME_CONNECTOR,
    WORLD,
    Box,
    Question,
    boxes_of_one_position,
    filters,
    places_to_stand,
)
from tests.e2e.real_world import RealWorld, Run, now_ms, real_world  # noqa: F401  (a fixture)
from tests.e2e.real_world_checks import (
    assert_hidden_are_nowhere,
    assert_listed,
    assert_nearby,
    assert_tiles,
    assert_told,
    neighbours,
    of_the_world,
    pages,
    tile_body,
)
from tests.mapsvc.importers.data_tables import DOCUMENT, feeds, register
from tests.mapsvc.importers.oracle import irve_rows
from tests.node.decoder import NodeDecoder, node_decoder  # noqa: F401  (a fixture)

T = TypeVar("T")

SEED = 20_250_701
REGISTER, FEEDS, HIDDEN = 5_571, 1_586, 11
EVSES, CONNECTORS, STATUSES = 32_375, 39_431, 3_250
TTL_S = 900

FEW = [
    EVERYTHING,
    SAME_CONNECTOR,
    MIXED,
    Wanted(available=2),
    Wanted(exclude_operator=("irve",)),
    Wanted(facility=("CAFE", "SUPERMARKET")),
]
"""Filters for lists and tiles, one of a kind: nearby tries them all."""


@pytest.fixture
def real(real_world: RealWorld) -> RealWorld:  # noqa: F811
    return real_world


def test_the_statuses_of_feeds_are_live_after_the_import_and_those_of_a_register_unknown(real: RealWorld) -> None:
    """First in the file: later the TTL of 900 s may be over."""
    told = {}
    for name in ("gaia", "greems", "otopriz", "electricera", "punkt"):
        for location in locations_of(feed_named(real, name)):
            if location["publish"]:
                party = f"{location['country_code']}*{location['party_id']}"
                statuses = {evse["uid"]: evse["status"] for evse in location["evses"]}
                told[f"{party}~{location['id']}"] = {u: s for u, s in statuses.items() if s != "REMOVED"}
    shown = 0
    for station_id in random.Random(SEED).sample(sorted(told), 150):
        for evse in real.http.json(f"/v1/stations/{quote(station_id, safe='*~')}")["evses"]:
            assert evse["status"] == evse["reported_status"] == told[station_id][evse["uid"]], (station_id, evse)
            seen_ms = _ms(evse["seen_at"])
            assert now_ms() - TTL_S * 1000 < seen_ms <= now_ms() + 1000
            assert _ms(evse["expires_at"]) == seen_ms + TTL_S * 1000
            assert _ms(evse["changed_at"]) < seen_ms
            shown += 1
    assert shown > 200
    register_view = real.oracle.view(Wanted(operator=("irve",)), real.oracle.moments(now_ms(), now_ms())[0])
    listed = [s for page in pages(real, WORLD, Wanted(operator=("irve",)), 1000) for s in page["stations"]]
    assert len(listed) == len(register_view.shown) == REGISTER
    assert sum((Counter(s["evses"]) for s in listed), Counter()) == Counter(total=29_109, unknown=29_109)
    for station in random.Random(SEED).sample(listed, 30):
        assert station["changed_at"] is station["seen_at"] is None
        for evse in real.http.json(f"/v1/stations/{station['id']}")["evses"]:
            assert (evse["status"], evse["reported_status"]) == ("UNKNOWN", "UNKNOWN")
            assert evse["changed_at"] is evse["seen_at"] is evse["expires_at"] is None


def test_a_status_past_its_ttl_is_unknown_everywhere_and_still_told_as_reported(real: RealWorld) -> None:
    sitronics = Wanted(operator=("RU*SIT",))

    def shows(free: int) -> bool:
        told = [[s for page in pages(real, WORLD, sitronics, 100) for s in page["stations"]] for _ in range(6)]
        return {sum(station["evses"]["available"] for station in stations) for stations in told} == {free}

    for ttl_s in (1, TTL_S):
        assert real.mapsvc("party", "set", "RU*SIT", "--ttl", ttl_s).returncode == 0
        real.reread()
        live = real.oracle.view(sitronics, real.oracle.moments(now_ms(), now_ms())[0])
        real.becomes(partial(shows, of_the_world(live)["free"]))
        real.settle()
        assert_listed(real, WORLD, sitronics, 50)
        assert_tiles(real, 8, sitronics, real.tiles.tiles(8))
        assert_tiles(real, 13, EVERYTHING, {real.tiles.stations[13][num].tile for num in live.shown})
        for shown in live.shown.values():
            assert_told(real, shown.place)
            told = real.http.json(f"/v1/stations/{shown.place.id}")["evses"]
            assert ttl_s == TTL_S or {evse["status"] for evse in told} <= {"UNKNOWN"}
    assert "AVAILABLE" in {point.reported for shown in live.shown.values() for point in shown.place.points}


# -- the import ---------------------------------------------------------------------------------------------------------


def test_all_files_are_imported_and_every_station_is_served_but_the_unpublished(real: RealWorld) -> None:
    assert {name: run.code for name, run in real.first.items()} == dict.fromkeys(real.first, 0)
    assert total(real.first.values(), "stations") == Counter(new=REGISTER + FEEDS)
    assert total(real.first.values(), "EVSEs") == Counter(new=EVSES)
    assert total(real.first.values(), "connectors") == Counter(new=CONNECTORS)
    assert total(real.first.values(), "statuses") == Counter(applied=STATUSES)
    assert len(real.oracle.places) == REGISTER + FEEDS
    assert len(real.oracle.published) == REGISTER + FEEDS - HIDDEN
    listed = [station["id"] for page in pages(real, WORLD, EVERYTHING, 1000) for station in page["stations"]]
    assert sorted(listed) == sorted(place.id for place in real.oracle.published.values())
    assert real.http.json("/readyz")["stations"] == REGISTER + FEEDS - HIDDEN


def test_a_second_import_changes_nothing(real: RealWorld) -> None:
    assert {name: run.code for name, run in real.second.items()} == dict.fromkeys(real.second, 0)
    assert total(real.second.values(), "stations") == Counter(unchanged=REGISTER + FEEDS)
    assert total(real.second.values(), "EVSEs") == Counter(unchanged=EVSES)
    assert total(real.second.values(), "connectors") == Counter(unchanged=CONNECTORS)
    assert total(real.second.values(), "statuses") == Counter(confirmed=STATUSES)


def test_every_dirty_row_is_in_the_report_with_its_line_and_reason(real: RealWorld) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    documented = re.search(r"^\| \*\*all\*\* .*\| ([\d,]+) \|$", document, re.MULTILINE)
    assert documented
    assert sum(run.dirty_rows for run in real.first.values()) == int(documented[1].replace(",", ""))
    for name, run in real.first.items():
        with run.report.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        assert len(rows) == run.dirty_rows, name
        for row in rows:
            assert row["line"].isdigit() or row["where"].startswith("/") or row["reason"] == "more_pages", (name, row)
            assert row["reason"] and row["outcome"] in ("kept", "dropped", "skipped")
        assert run.report.read_bytes() == real.second[name].report.read_bytes()
    assert "no_coordinates\tskipped" in real.first["heilbronn_neckarbogen.json"].report.read_text(encoding="utf-8")


def test_an_unreadable_file_is_refused_as_a_whole_and_the_others_are_imported(real: RealWorld) -> None:
    torn, letter = real.folder / "torn.json.gz", real.folder / "letter.json"
    torn.write_bytes(register(real.data).read_bytes()[:300])
    letter.write_text("Dear Sir or Madam")
    gaia = feed_named(real, "gaia")
    for arguments, unchanged in ((("irve", torn), {}), (("ocpi", letter, gaia), {"unchanged": 4})):
        run = real.import_files("unreadable", *arguments)
        assert run.code == 1
        assert total([run], "stations") == Counter(unchanged)
        assert str(arguments[1]) in run.stderr
        assert "Traceback" not in run.stderr


def feed_named(real: RealWorld, name: str) -> Path:
    (found,) = (path for path in feeds(real.data) if name in path.name)
    return found


def locations_of(feed: Path) -> list[Json]:
    document = json.loads(feed.read_bytes().decode("utf-8-sig"))
    locations: list[Json] = document["data"] if isinstance(document, dict) else document
    return locations


def sampled(rng: random.Random, by_num: dict[int, T], size: int) -> list[T]:
    """Some of them, the same in every run."""
    return [by_num[num] for num in rng.sample(sorted(by_num), min(size, len(by_num)))]


def total(runs: Iterable[Run], what: str) -> Counter[str]:
    return sum((Counter(run.counts(what)) for run in runs), Counter())


# -- nearby -------------------------------------------------------------------------------------------------------------


def test_nearby_equals_brute_force_with_every_filter(real: RealWorld) -> None:
    rng = random.Random(SEED)
    questions = places_to_stand(real.oracle, rng)
    assert len(questions) >= 300
    moment = real.oracle.moments(now_ms(), now_ms())[0]
    views = {wanted: real.oracle.view(wanted, moment).shown for wanted in filters(real.oracle)}
    for shown in views.values():  # the rarest too must be found somewhere
        questions += [Question(place.lat, place.lon, 5_000) for place in (s.place for s in sampled(rng, shown, 2))]
    found: Counter[Wanted] = Counter()
    for question in questions:
        near = real.oracle.near(question.lat, question.lon, question.radius_m or DEFAULT_RADIUS_M)
        for wanted in views:
            found[wanted] += assert_nearby(real, question, near, wanted)
    assert not [wanted for wanted in views if views[wanted] and not found[wanted]]
    assert not [wanted for wanted in views if not views[wanted] and not wanted.open_now], (
        "nothing passes, nothing tested"
    )


# -- lists --------------------------------------------------------------------------------------------------------------


def test_a_list_followed_by_its_links_to_the_end_is_what_the_box_holds(real: RealWorld) -> None:
    sizes = {name: assert_listed(real, box, EVERYTHING, 100) for name, box in BOXES.items()}
    assert sizes["the world"] == REGISTER + FEEDS - HIDDEN
    assert min(size for name, size in sizes.items() if "nothing" not in name and "Southern" not in name) > 0
    assert all(assert_listed(real, box, EVERYTHING, 1) >= 1 for box in boxes_of_one_position(real.oracle))
    for wanted in FEW[1:]:
        for box in BOXES.values():
            assert_listed(real, box, wanted, 150)
    for limit in (1, 2, 7):  # pages that end where the list does, and such that do not
        assert_listed(real, BOXES["Istanbul"], Wanted(available=2), limit)
        assert_listed(real, BOXES["Heilbronn"], MIXED, limit)
    for wanted in filters(real.oracle):
        assert_listed(real, WORLD, wanted, 1000)


def test_a_station_of_unknown_hours_between_two_pages_is_counted_on_one_of_them(real: RealWorld) -> None:
    is_open = Wanted(open_now=True)
    view = real.oracle.view(is_open, real.oracle.moments(now_ms(), now_ms())[0])
    between = 0
    for num in sorted(view.unknown_hours):
        place = real.oracle.published[num]
        box = (place.lon - 2, place.lat - 2, place.lon + 2, place.lat + 2)
        shown = sorted(real.oracle.within(*box) & view.shown.keys())
        before = sum(other < num for other in shown)
        if 0 < before < len(shown) <= 20 * before and between < 20:  # a page that ends just before this one
            assert_listed(real, box, is_open, before)
            between += 1
    assert between


def test_stations_are_listed_by_their_ids_and_unknown_ones_are_left_out(real: RealWorld) -> None:
    rng = random.Random(SEED)
    hidden = [place.id for place in real.oracle.places.values() if not place.publish]
    for wanted in (EVERYTHING, Wanted(available=1), MIXED):
        for size in (1, 3, 60):
            some = sampled(rng, real.oracle.published, size)
            ids = [*(place.id for place in some), "NL*FAS~nowhere", *hidden, some[0].id.swapcase()]
            rng.shuffle(ids)

            def compare(told: Json, moment: Moment, some: list[Place] = some, wanted: Wanted = wanted) -> None:
                view = real.oracle.view(wanted, moment)
                nums = sorted(place.num for place in some if place.num in view.shown)
                assert told["stations"] == [view.shown[num].summary for num in nums]

            path = f"/v1/stations?ids={','.join(ids)}" + (f"&{wanted.query}" if wanted.query else "")
            real.check(partial(real.http.json, path), compare)


# -- details ------------------------------------------------------------------------------------------------------------


def test_details_tell_every_field_of_the_document_and_the_state_of_every_evse(real: RealWorld) -> None:
    chosen = {place.num: place for place in sampled(random.Random(SEED), real.oracle.published, 250)}
    often = Counter(name for place in real.oracle.published.values() for name in place.doc)
    for place in real.oracle.published.values():  # and whatever is rare: fields, hours other than 24/7, REMOVED EVSEs
        is_rare = min(often[name] for name in place.doc) < 60
        regular = place.doc.get("opening_times", {}).get("regular_hours")
        if is_rare or regular or len(place.points) < max(1, len(place.doc.get("evses", ()))):
            chosen[place.num] = place
    for place in chosen.values():
        assert_told(real, place)
    told_fields = {name for place in chosen.values() for name in place.doc} - {"publish"}
    assert {
        *("name", "address", "city", "postal_code", "country", "operator", "operator_phone", "facilities", "time_zone"),
        *("opening_times", "access_text", "price_text", "free_of_charge", "parking_type", "images", "directions"),
    } <= told_fields


def test_details_say_what_the_register_and_a_feed_say(real: RealWorld) -> None:
    """From the raw file to HTTP, whatever the database holds."""
    stations: dict[str, list[Json]] = {}
    for row in irve_rows(register(real.data)):
        stations.setdefault(row["id_station_itinerance"], []).append(row)
    for station_id in random.Random(SEED).sample(sorted(stations), 60):
        told, rows = real.http.json(f"/v1/stations/irve~{station_id}"), stations[station_id]
        assert [told["lon"], told["lat"]] in [json.loads(row["coordonneesXY"]) for row in rows]
        assert told["name"] in {plain(row["nom_station"]) for row in rows}
        assert told["address"] in {plain(row["adresse_station"]) for row in rows}
        assert told["operator"] in {row["nom_operateur"] or row["nom_enseigne"] for row in rows}
        assert {evse["uid"] for evse in told["evses"]} == {row["id_pdc_itinerance"] for row in rows}
        powers = {row["id_pdc_itinerance"]: float(row["puissance_nominale"]) for row in rows}
        for evse in told["evses"]:
            ccs = [c["power_kw"] for c in evse["connectors"] if c["standard"] == "IEC_62196_T2_COMBO"]
            assert not ccs or ccs == [powers[evse["uid"]]]
        if {row["horaires"] for row in rows} == {"24/7"}:
            assert (told["opening_times"], told["open_now"]) == ({"twentyfourseven": True}, True)
    for location in locations_of(feed_named(real, "greems")):
        told = real.http.json(f"/v1/stations/IL*GRE~{location['id']}")
        same = ("name", "address", "city", "country", "postal_code", "time_zone", "charging_when_closed")
        assert [told.get(name) for name in same] == [plain(location[name]) for name in same]
        assert _ms(told["last_updated"]) == _ms(location["last_updated"])
        place = location["coordinates"]
        assert (told["lat"], told["lon"]) == (float(place["latitude"]), float(place["longitude"]))
        assert len(told["evses"]) == len(location["evses"])
        for evse, raw in zip(told["evses"], location["evses"], strict=True):
            assert [evse[name] for name in ("uid", "evse_id", "reported_status")] == [
                raw[name] for name in ("uid", "evse_id", "status")
            ]
            assert evse.get("capabilities", []) == (raw["capabilities"] or [])
            for connector, plug in zip(evse["connectors"], raw["connectors"], strict=True):
                told_of_plug = ("id", "standard", "format", "power_type", "max_voltage", "max_amperage", "tariff_ids")
                assert [connector[name] for name in told_of_plug] == [plug[name] for name in told_of_plug]


def plain(told: Any) -> Any:
    """Texts without superfluous spaces, as the importers keep them."""
    return " ".join(told.split()) if isinstance(told, str) else told


def test_an_id_is_one_in_any_case_and_an_unknown_one_is_not_found(real: RealWorld) -> None:
    for place in sampled(random.Random(SEED), real.oracle.published, 20):
        bodies = {real.http.get(f"/v1/stations/{i}").body for i in (place.id, place.id.lower(), place.id.upper())}
        assert len(bodies) == 1
        assert json.loads(bodies.pop())["id"] == place.id
    for unknown in ("irve~nowhere", "nowhere", "~", "irve~", "%00", "irve%7E%2F", "NL*FAS~" + "x" * 400):
        reply = real.http.get(f"/v1/stations/{unknown}")
        assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json"), unknown


def test_ids_with_odd_characters_work_as_they_are_printed(real: RealWorld) -> None:
    odd = [
        "a b",
        "a/b",
        "ä-Ö",
        "100%",
        "a%20b",
        "x,y",
        "q?x=1&y#z",
        "A+B",
        "ÉTÉ/été",
        "~tilde~",
        "*star*",
        "'\"<>",
        "充電",
    ]
    key = real.mapsvc("keys", "create", "FR*ODD").stdout.strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    ids = []
    for number, location_id in enumerate(odd):
        path = f"/v1/stations/{quote(f'FR*ODD~{location_id}', safe='*~')}"
        reply = real.http.send("PUT", path, json.dumps(odd_location(location_id, number)).encode(), headers)
        assert reply.status == 201, (location_id, reply)
        ids.append(json.loads(reply.body)["id"])
    wanted = Wanted(operator=("FR*ODD",))
    real.becomes(lambda: sum(len(page["stations"]) for page in pages(real, WORLD, wanted, 5)) == len(odd))
    real.becomes(lambda: all(real.http.get(f"/v1/stations/{i}").status == 200 for i in ids for _ in range(4)))
    printed = [station["id"] for page in pages(real, WORLD, wanted, 5) for station in page["stations"]]
    assert sorted(printed) == sorted(ids)
    for station_id, location_id in zip(ids, odd, strict=True):
        told = real.http.json(f"/v1/stations/{station_id}")
        assert (told["id"], told["location_id"]) == (station_id, location_id)
        # encoded once more, as a client's library does, and as it is printed: in a query that takes away its encoding
        as_printed = [station_id] if location_id not in ("x,y", "a%20b") else []
        for spelt in (quote(station_id, safe=""), *as_printed):
            assert [s["id"] for s in real.http.json(f"/v1/stations?ids={spelt}")["stations"]] == [station_id], spelt
    together = real.http.json(f"/v1/stations?ids={','.join(quote(i) for i in ids)}")["stations"]
    assert sorted(station["id"] for station in together) == sorted(ids)
    for station_id in ids:
        assert real.http.send("DELETE", f"/v1/stations/{station_id}", b"", headers).status == 204
    real.becomes(lambda: all(real.http.get(f"/v1/stations/{i}").status == 404 for i in ids for _ in range(4)))
    real.reread()


def odd_location(location_id: str, number: int) -> Json:
    """In the Gulf of Guinea, where no station of the data is."""
    stamp = "2026-01-01T00:00:00Z"
    plug = {
        "id": "1",
        "standard": "IEC_62196_T2",
        "format": "SOCKET",
        "power_type": "AC_3_PHASE",
        "last_updated": stamp,
    }
    connector = plug | {"max_voltage": 230, "max_amperage": 32}
    return {
        "country_code": "FR", "party_id": "ODD", "id": location_id, "publish": True, "address": "1", "city": "1",
        "country": "FRA", "coordinates": {"latitude": f"{number / 100 - 9}", "longitude": "-11.5"}, "time_zone": "UTC",
        "evses": [{"uid": "1", "status": "AVAILABLE", "connectors": [connector], "last_updated": stamp}],
        "last_updated": stamp,
    }  # fmt: skip


# -- tiles --------------------------------------------------------------------------------------------------------------


def test_station_tiles_hold_the_stations_of_that_tile_at_the_places_that_postgis_gives_them(real: RealWorld) -> None:
    rng = random.Random(SEED)
    for z in STATION_ZOOMS:
        for wanted in FEW:
            full = sorted(real.tiles.tiles(z))
            chosen = set(rng.sample(full, 150 if wanted == EVERYTHING else 40))
            assert_tiles(real, z, wanted, chosen | neighbours(rng.sample(sorted(chosen), 5)))


def test_aggregate_tiles_sum_up_the_world_at_every_zoom(real: RealWorld) -> None:
    rng = random.Random(SEED)
    for z in AGGREGATE_ZOOMS:
        every = {Tile(z, x, y) for x in range(1 << z) for y in range(1 << z)} if z <= 3 else set()
        for wanted in FEW if z in (0, 3, 6, 9) else FEW[:3]:
            full = real.tiles.tiles(z)
            assert_tiles(real, z, wanted, full | every | neighbours(rng.sample(sorted(full), min(9, len(full)))))


def test_two_independent_decoders_read_the_same_from_a_tile(real: RealWorld, node_decoder: NodeDecoder) -> None:  # noqa: F811
    rng = random.Random(SEED)
    seen = 0
    for z in (*AGGREGATE_ZOOMS, *STATION_ZOOMS):
        tiles = sorted(real.tiles.tiles(z))
        for tile in rng.sample(tiles, min(25, len(tiles))):
            for wanted in (EVERYTHING, Wanted(available=1)):
                body = tile_body(real, tile.path + (f"?{wanted.query}" if wanted.query else ""))
                features = of_node(node_decoder.decode(body), z)
                assert features == decoded(body, z), tile
                seen += len(features)
    assert seen > 2_000


def of_node(layers: dict[str, Any], z: int) -> Features:
    for layer in layers.values():
        for feature in layer["features"]:
            (point,) = feature.pop("points")
            assert feature.pop("type") == 1
            feature["geometry"] = {"type": "Point", "coordinates": point}
    return features_of(layers, z) if layers else {}


def test_tilejson_names_tiles_that_answer(real: RealWorld) -> None:
    for query in ("", "?connector=CHADEMO&available"):
        told = real.http.json(f"/v1/tiles/stations.json{query}")
        assert (told["tilejson"], told["minzoom"], told["maxzoom"]) == ("3.0.0", 0, 14)
        layers = {layer["id"]: layer for layer in told["vector_layers"]}
        (url,) = told["tiles"]
        for name, z in (("stations", 14), ("aggregates", 5)):
            tile = min(real.tiles.tiles(z))
            path = url.removeprefix(real.stack.url).format(z=z, x=tile.x, y=tile.y)
            assert path == tile.path + query
            for _, _, props in decoded(tile_body(real, tile.path), z).values():
                assert props.keys() <= layers[name]["fields"].keys()


# -- what is not published ----------------------------------------------------------------------------------------------


def test_an_unpublished_station_is_nowhere(real: RealWorld) -> None:
    assert_hidden_are_nowhere(real)


# -- workers ------------------------------------------------------------------------------------------------------------


def test_equal_etags_mean_equal_bytes_on_both_workers_and_after_their_restart(real: RealWorld) -> None:
    paths = sample_of_paths(real)
    real.settle()
    for _ in range(3):  # again, should a station have opened or a status expired meanwhile
        asked_ms = now_ms()
        told = real.run(bytes_of_both(real, paths))
        restart_workers(real)
        told += real.run(bytes_of_both(real, paths))
        if len(real.oracle.moments(asked_ms, now_ms())) == 1:
            break
    assert len(told) == 4
    assert told[0].keys() == {(path, encoding) for path in paths for encoding in ("identity", "gzip")}
    for other in told[1:]:
        assert [key for key in told[0] if told[0][key] != other[key]] == []
    by_etag: dict[str, bytes] = {}
    by_body: dict[bytes, str] = {}
    for etag, body in told[0].values():
        assert by_etag.setdefault(etag, body) == body
        assert by_body.setdefault(body, etag) == etag
    assert len(by_etag) > 150


def sample_of_paths(real: RealWorld) -> list[str]:
    rng = random.Random(SEED)
    paths = ["/v1/tiles/stations.json", "/v1/tiles/stations.json?available"]
    for z in range(15):
        for wanted in FEW[:4]:
            tiles = sorted(real.tiles.tiles(z))
            query = f"?{wanted.query}" if wanted.query else ""
            paths += [tile.path + query for tile in rng.sample(tiles, min(3, len(tiles)))]
    return paths + [f"/v1/stations/{place.id}" for place in sampled(rng, real.oracle.published, 60)]


async def bytes_of_both(real: RealWorld, paths: list[str]) -> list[dict[tuple[str, str], tuple[str, bytes]]]:
    """Per worker: ETag and body by path and encoding. Each worker says 304 to the ETags of the first."""
    told: list[dict[tuple[str, str], tuple[str, bytes]]] = []
    for pid in real.stack.workers():
        answers: dict[tuple[str, str], tuple[str, bytes]] = {}
        async with await session_with(real.stack, pid) as session:
            for path in paths:
                for encoding in ("identity", "gzip"):
                    url, headers = URL(real.stack.url + path, encoded=True), {"Accept-Encoding": encoding}
                    async with session.get(url, headers=headers, auto_decompress=False) as response:
                        assert response.status == 200, path
                        assert response.headers["Vary"] == "Accept-Encoding"
                        body = await response.read()
                        answers[path, encoding] = (response.headers["ETag"], body)
                    known = (told[0] if told else answers)[path, encoding][0]
                    async with session.get(url, headers=headers | {"If-None-Match": known}) as response:
                        assert (response.status, await response.read()) == (304, b""), (path, encoding)
                plain, packed = answers[path, "identity"], answers[path, "gzip"]
                assert packed == plain or gzip.decompress(packed[1]) == plain[1], path
        told.append(answers)
    return told


def restart_workers(real: RealWorld) -> None:
    real.http.close()
    assert real.run(real.stack.stop("serve", signal.SIGINT)) == 0
    real.run(real.stack.start("serve"))
    real.becomes(lambda: len(real.stack.workers()) == 2)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


# -- what vanishes ------------------------------------------------------------------------------------------------------


def assert_listed_soon(real: RealWorld, box: Box, wanted: Wanted, limit: int) -> None:
    """An import a quarter of a TTL after the last one confirms, and confirmations travel beside the stream."""

    def listed() -> bool:
        with suppress(AssertionError):
            assert_listed(real, box, wanted, limit)
            return True
        return False

    real.becomes(listed)
    assert_listed(real, box, wanted, limit)


def test_a_full_import_removes_what_vanished_unless_that_is_more_than_a_tenth(real: RealWorld) -> None:
    punkt = feed_named(real, "punkt")
    locations = locations_of(punkt)
    before = {place.num: place for place in real.oracle.places.values() if place.party == "RU*TBM"}
    assert len(before) == len(locations) == 489
    part = real.folder / "part.json"

    part.write_text(json.dumps(locations[49:]))  # 49 of 489 are 10.02 %
    run = real.import_files("full", "ocpi", part, "--full")
    assert run.code == 1
    assert total([run], "stations") == Counter(unchanged=440)
    assert "RU*TBM: 49 of 489" in run.stderr

    hidden = [i for i, location in enumerate(locations) if not location["publish"]][:2]
    gone = {*range(46), *hidden}
    assert len(gone) <= 48
    part.write_text(json.dumps([location for i, location in enumerate(locations) if i not in gone]))
    run = real.import_files("full", "ocpi", part, "--full")
    assert run.code == 0, run.stderr
    assert total([run], "stations") == Counter(unchanged=489 - len(gone), removed=len(gone))
    vanished = [f"RU*TBM~{locations[i]['id']}" for i in gone if locations[i]["publish"]]
    real.becomes(lambda: all(real.http.get(f"/v1/stations/{i}").status == 404 for i in vanished for _ in range(4)))
    real.reread()
    assert len(real.oracle.places) == REGISTER + FEEDS - len(gone)
    assert_listed_soon(real, WORLD, Wanted(operator=("RU*TBM",)), 100)
    assert_listed_soon(real, BOXES["Siberia"], EVERYTHING, 100)
    real.settle()
    assert_tiles(real, 5, EVERYTHING, real.tiles.tiles(5) | {owner(p.lat, p.lon, 5) for p in before.values()})

    run = real.import_files("full", "ocpi", punkt, "--full")
    assert run.code == 0, run.stderr
    assert total([run], "stations") == Counter(new=len(gone), unchanged=489 - len(gone))
    real.becomes(lambda: all(real.http.get(f"/v1/stations/{i}").status == 200 for i in vanished for _ in range(4)))
    real.reread()
    after = {place.num: place for place in real.oracle.places.values() if place.party == "RU*TBM"}
    assert {n: (p.key, p.doc) for n, p in after.items()} == {n: (p.key, p.doc) for n, p in before.items()}
    states = [{n: [(q.reported, q.changed_ms) for q in p.points] for n, p in them.items()} for them in (after, before)]
    assert states[0] == states[1]
    assert_listed_soon(real, WORLD, Wanted(operator=("RU*TBM",), available=1), 100)
    real.settle()
    assert_hidden_are_nowhere(real)  # again: now that the relay has carried some of them
