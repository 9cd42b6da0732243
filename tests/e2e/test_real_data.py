"""The issue's acceptance on real data: every answer about 7,146 real stations equals an oracle's, through HTTP.

The register and all feeds of ../shared/data are imported by the command and served by ingest, relay and two workers
(real_world.py). The oracle (oracle.py, oracle_tiles.py) reads PostgreSQL and computes alone.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
import redis

from cache.codec import unpack_doc, unpack_record, unpack_records, unpack_states
from tests.e2e.compare import session_with
from tests.e2e.oracle import EVERYTHING, Json, Moment, Place, View, Wanted, rfc3339
from tests.e2e.oracle_tiles import AGGREGATE_ZOOMS, STATION_ZOOMS, Features, Tile, decoded, features_of, owner
from tests.e2e.questions import (
    BOXES,
    DEFAULT_LIMIT,
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
from tests.e2e.real_world import RealWorld, Reply, Run, now_ms, real_world  # noqa: F401  (a fixture)
from tests.mapsvc.importers.data_tables import DOCUMENT, feeds, register
from tests.mapsvc.importers.oracle import irve_rows
from tests.node.decoder import NodeDecoder, node_decoder  # noqa: F401  (a fixture)

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
    for path in ("gaia", "greems", "otopriz", "electricera", "punkt"):
        (feed,) = (feed for feed in feeds(real.data) if path in feed.name)
        document = json.loads(feed.read_bytes().decode("utf-8-sig"))
        for location in document.get("data", document) if isinstance(document, dict) else document:
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
    assert shown > 300
    register_view = real.oracle.view(Wanted(operator=("irve",)), real.oracle.moments(now_ms(), now_ms())[0])
    listed = [s for page in pages(real, WORLD, Wanted(operator=("irve",)), 1000) for s in page["stations"]]
    assert len(listed) == len(register_view.shown) == REGISTER
    assert sum((Counter(s["evses"]) for s in listed), Counter()) == Counter(total=29_109, unknown=29_109)
    for station in random.Random(SEED).sample(listed, 30):
        assert station["changed_at"] is station["seen_at"] is None
        for evse in real.http.json(f"/v1/stations/{station['id']}")["evses"]:
            assert (evse["status"], evse["reported_status"]) == ("UNKNOWN", "UNKNOWN")
            assert evse["changed_at"] is evse["seen_at"] is evse["expires_at"] is None


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
        heading, *rows = run.report.read_text(encoding="utf-8").splitlines()
        assert heading.split("\t") == ["line", "where", "id", "field", "reason", "outcome", "detail"]
        assert len(rows) == run.dirty_rows, name
        for row in rows:
            line, where, _, _, reason, outcome, _ = row.split("\t")
            assert line.isdigit() or where.startswith("/") or reason == "more_pages", (name, row)
            assert reason and outcome in ("kept", "dropped", "skipped")
        assert run.report.read_bytes() == real.second[name].report.read_bytes()
    assert "no_coordinates\tskipped" in real.first["heilbronn_neckarbogen.json"].report.read_text(encoding="utf-8")


def test_an_unreadable_file_is_refused_as_a_whole_and_the_others_are_imported(real: RealWorld) -> None:
    torn, letter = real.folder / "torn.json.gz", real.folder / "letter.json"
    torn.write_bytes(register(real.data).read_bytes()[:300])
    letter.write_text("Dear Sir or Madam")
    (gaia,) = (path for path in feeds(real.data) if "gaia" in path.name)
    for arguments, unchanged in ((("irve", torn), {}), (("ocpi", letter, gaia), {"unchanged": 4})):
        run = real.import_files("unreadable", *arguments)
        assert run.code == 1
        assert total([run], "stations") == Counter(unchanged)
        assert str(arguments[1]) in run.stderr
        assert "Traceback" not in run.stderr


def total(runs: Iterable[Run], what: str) -> Counter[str]:
    return sum((Counter(run.counts(what)) for run in runs), Counter())


# -- nearby -------------------------------------------------------------------------------------------------------------


def test_nearby_equals_brute_force_with_every_filter(real: RealWorld) -> None:
    questions = places_to_stand(real.oracle, random.Random(SEED))
    assert len(questions) >= 300
    found: Counter[Wanted] = Counter()
    wanted_ones = filters(real.oracle)
    for question in questions:
        radius_m = DEFAULT_RADIUS_M if question.radius_m is None else question.radius_m
        near = real.oracle.near(question.lat, question.lon, radius_m)
        for wanted in wanted_ones:
            path = "/v1/nearby?" + "&".join(part for part in (question.query, wanted.query) if part)

            def compare(told: Json, moment: Moment, wanted: Wanted = wanted, path: str = path) -> None:
                view = real.oracle.view(wanted, moment)
                limit = question.limit or DEFAULT_LIMIT  # noqa: B023 (compared at once)
                expected = [hit for hit in near if hit.num in view.shown][:limit]  # noqa: B023
                assert len(told["stations"]) == len(expected), path
                for station, hit in zip(told["stations"], expected, strict=True):
                    metres = station.pop("distance_m")
                    assert abs(metres - hit.metres) <= 0.1, (path, station["id"])
                    assert station == view.shown[hit.num].summary, path
                if wanted.open_now:
                    edge = expected[-1].metres if len(expected) == limit else radius_m  # noqa: B023
                    out = sum(hit.num in view.unknown_hours for hit in near if hit.metres <= edge)  # noqa: B023
                    assert told["excluded_unknown_hours"] == out, path
                else:
                    assert "excluded_unknown_hours" not in told

            found[wanted] += len(real.check(lambda path=path: real.http.json(path), compare)["stations"])
    assert not [wanted for wanted in wanted_ones if not found[wanted]], "a filter that nothing passes tests nothing"
