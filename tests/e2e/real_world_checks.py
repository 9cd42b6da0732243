"""Answers of the real world compared with the oracle's: one kind of question a function."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from cache.codec import unpack_doc, unpack_record, unpack_records
from geo.record import StationRecord
from geo.station import encode_doc
from tests.e2e.oracle import Json, Moment, Near, Place, View, Wanted
from tests.e2e.oracle_tiles import AGGREGATE_ZOOMS, STATION_ZOOMS, Features, Tile, decoded, owner
from tests.e2e.questions import DEFAULT_LIMIT, Box, Question
from tests.e2e.real_world import RealWorld


def assert_nearby(real: RealWorld, question: Question, near: list[Near], wanted: Wanted) -> int:
    """`near`: all published stations within the radius, in order. Returns how many were found."""
    path = "/v1/nearby?" + "&".join(part for part in (question.query, wanted.query) if part)
    limit = question.limit or DEFAULT_LIMIT

    def compare(told: Json, moment: Moment) -> None:
        view = real.oracle.view(wanted, moment)
        expected = [hit for hit in near if hit.num in view.shown][:limit]
        assert [s["id"] for s in told["stations"]] == [view.shown[hit.num].place.id for hit in expected], path
        for station, hit in zip(told["stations"], expected, strict=True):
            assert abs(station["distance_m"] - hit.metres) <= 0.1, (path, hit)
            assert station == view.shown[hit.num].summary | {"distance_m": station["distance_m"]}, path
        if wanted.open_now:
            # those that are as near as the last hit, or anywhere within the radius if there is no next one
            searched = [hit for hit in near if len(expected) < limit or hit.metres <= expected[-1].metres]
            assert told["excluded_unknown_hours"] == sum(hit.num in view.unknown_hours for hit in searched), path
        else:
            assert told.keys() == {"stations"}

    return len(real.check(lambda: real.http.json(path), compare)["stations"])


def assert_listed(real: RealWorld, box: Box, wanted: Wanted, limit: int) -> int:
    """Returns how many stations there are."""
    inside = real.oracle.within(*box)

    def compare(told: list[Json], moment: Moment) -> None:
        view = real.oracle.view(wanted, moment)
        expected = [view.shown[num].summary for num in sorted(inside & view.shown.keys())]
        where = (box, wanted.query, limit)
        assert [s["id"] for page in told for s in page["stations"]] == [s["id"] for s in expected], where
        assert [s for page in told for s in page["stations"]] == expected, where
        assert {len(page["stations"]) for page in told[:-1]} <= {limit}, where
        assert len(told) == max(1, -(-len(expected) // limit)), where
        if wanted.open_now:
            excluded = sum(page["excluded_unknown_hours"] for page in told)
            assert excluded == len(inside & view.unknown_hours), where
        else:
            assert all(page.keys() == {"stations"} for page in told)

    told = real.check(lambda: list(pages(real, box, wanted, limit)), compare)
    return sum(len(page["stations"]) for page in told)


def pages(real: RealWorld, box: Box, wanted: Wanted, limit: int) -> Iterator[Json]:
    """The pages of a list, found by following `Link: rel="next"`."""
    first = f"/v1/stations?bbox={','.join(map(str, box))}&limit={limit}"
    path: str | None = f"{first}&{wanted.query}" if wanted.query else first
    while path:
        reply = real.http.get(path)
        assert reply.status == 200, (path, reply)
        yield json.loads(reply.body)
        link = re.fullmatch(r'<(http://[^>]+)>; rel="next"', reply.headers["Link"]) if "Link" in reply.headers else None
        assert link or "Link" not in reply.headers
        path = link[1].removeprefix(real.stack.url) if link else None


def assert_told(real: RealWorld, place: Place) -> None:
    def compare(told: Json, moment: Moment) -> None:
        assert told == real.oracle.details(place, moment)

    real.check(partial(real.http.json, f"/v1/stations/{place.id}"), compare)


def assert_tiles(real: RealWorld, z: int, wanted: Wanted, tiles: set[Tile]) -> None:
    """Of aggregates `tiles` are all that hold anything: their sums are the world's."""
    suffix = f"?{wanted.query}" if wanted.query else ""

    def ask() -> dict[Tile, Features]:
        return {tile: decoded(tile_body(real, tile.path + suffix), z) for tile in sorted(tiles)}

    def compare(told: dict[Tile, Features], moment: Moment) -> None:
        view = real.oracle.view(wanted, moment)
        expected = real.tiles.expected(view, z)
        for tile, features in told.items():
            assert features == expected.get(tile, {}), (tile, wanted.query)
        if z in AGGREGATE_ZOOMS:
            cells = [props for features in told.values() for _, _, props in features.values()]
            names = ("count", "free", "busy", "out_of_service", "unknown")
            assert {name: sum(cell[name] for cell in cells) for name in names} == of_the_world(view)

    real.check(ask, compare)


def of_the_world(view: View) -> dict[str, int]:
    counts = sum((shown.counts for shown in view.shown.values()), Counter())
    return {
        "count": len(view.shown),
        "free": counts["available"],
        "busy": counts["busy"],
        "out_of_service": counts["out_of_service"],
        "unknown": counts["unknown"],
    }


def tile_body(real: RealWorld, path: str) -> bytes:
    reply = real.http.get(path)
    assert reply.status == 200, (path, reply)
    assert reply.headers["Content-Type"] == "application/vnd.mapbox-vector-tile"
    return reply.body


def neighbours(tiles: list[Tile]) -> set[Tile]:
    n = 1 << tiles[0].z
    return {
        Tile(t.z, (t.x + dx) % n, t.y + dy)
        for t in tiles
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
        if 0 <= t.y + dy < n
    }


def assert_hidden_are_nowhere(real: RealWorld) -> None:
    hidden = [place for place in real.oracle.places.values() if not place.publish]
    assert len(hidden) == 11
    ids, nums = {place.id for place in hidden}, {place.num for place in hidden}
    for place in hidden:
        near = f"/v1/nearby?lat={place.lat}&lon={place.lon}"
        for query in ("", "&radius_m=200000&limit=1000", "&radius_m=200000&limit=1000&exclude_operator=irve"):
            assert not ids & {station["id"] for station in real.http.json(near + query)["stations"]}
        box = f"{place.lon - 0.1},{place.lat - 0.1},{place.lon + 0.1},{place.lat + 0.1}"
        for query in (f"bbox={box}&limit=1000", f"ids={place.id}", f"ids={place.id.upper()}"):
            assert not ids & {station["id"] for station in real.http.json(f"/v1/stations?{query}")["stations"]}
        for spelt in (place.id, place.id.lower(), place.id.upper()):
            assert real.http.get(f"/v1/stations/{spelt}").status == 404
        for z in (*AGGREGATE_ZOOMS, *STATION_ZOOMS):
            tile = owner(place.lat, place.lon, z)
            for query in ("", "?available", "?operator=ru*tbm,ru*sit"):
                features = decoded(tile_body(real, tile.path + query), z)
                shown = {props.get("best_id") for _, _, props in features.values()} if z <= 10 else set(features)
                assert not nums & shown, (tile, place.id)
    told = [real.http.get(path).body for path in ("/v1/tiles/stations.json", "/openapi.json", "/docs", "/")]
    assert not [place.id for place in hidden for body in told if place.location_id.encode() in body]
    in_redis = held_by_redis(real)
    assert in_redis.records == real.oracle.published.keys(), "Redis holds other stations than those published"
    assert not nums & in_redis.states
    assert not nums & in_redis.streamed
    public = {point.doc.get("evse_id") for place in real.oracle.published.values() for point in place.points}
    private = {point.doc.get("evse_id") for place in hidden for point in place.points} - public
    secrets = {place.key for place in hidden} | {evse_id for evse_id in private if evse_id}
    assert not [secret for secret in secrets for text in in_redis.texts if secret in text]


class InRedis(NamedTuple):
    """Whatever Redis holds under any key: nums of the stations that are told anything of, and all text there is."""

    records: set[int]
    states: set[int]
    streamed: set[int]  # likewise, in batches
    texts: list[str]


def held_by_redis(real: RealWorld) -> InRedis:
    held = InRedis(set(), set(), set(), [])

    def take(record: StationRecord, nums: set[int]) -> None:
        if not record.removed:  # a tombstone says no more than that nothing is there
            nums.add(record.num)
            held.texts.extend((record.key, encode_doc(unpack_doc(record.doc, record.summary)).decode()))

    with real.redis.client() as client:
        for key in client.scan_iter(count=1000):
            kind, name = client.type(key), key.decode().split(":")
            if kind == b"hash":
                for field, value in client.hgetall(key).items():
                    if "st" in name:
                        take(unpack_record(value), held.records)
                    elif "ev" in name:
                        held.states.add(int(field.partition(b".")[0]))
                    else:
                        held.texts.extend((field.decode(), value.decode()))
            elif kind == b"set":
                held.texts.extend(member.decode() for member in client.smembers(key))
            else:
                assert kind == b"stream", key
                for _, entry in client.xrange(key):
                    for record in unpack_records(entry[b"t"]) if entry.get(b"t") else ():
                        take(record, held.streamed)
    return held
