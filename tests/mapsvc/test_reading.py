"""Forms of an answer and look-ups by EVSE id, through the handlers: the plain answer, told differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson
import pytest

import mapsvc.reading
from geo.station import Evse, Station, Status
from geo.world import World
from mapsvc.bodies import STATION_MEMBERS, SUMMARY_MEMBERS
from mapsvc.problems import Unavailable
from mapsvc.reading import Reader
from tests.geo.model_world import State, Told
from tests.geo.worlds import DAY, START_MS, make_evse, make_station, packed
from tests.mapsvc.roads.without import no_drive_times
from tests.mapsvc.test_bodies import Service, packed_record

HERE = {"lat": 48.8566, "lon": 2.3522}
BOX = {"bbox": "2,48,3,49"}


def with_id(slot: int, evse_id: str | None) -> Evse:
    return msgspec.structs.replace(make_evse(slot), evse_id=evse_id)


STATIONS: Sequence[Station] = (
    make_station(3, 48.8566, 2.3522, [with_id(0, "DE*ABC*E1*1"), with_id(1, "DE*ABC*E1*2")], opening_times=DAY),
    make_station(6, 48.8577, 2.3544, [with_id(0, "deabce1-2")], operator="Straße"),
    make_station(9, 48.8588, 2.3566, [with_id(0, None)]),
)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service(World(), lambda: START_MS)
    told = [Told(num, 1, station) for num, station in enumerate(STATIONS, 1)]
    states = [State(1, 0, 2, Status.AVAILABLE, START_MS - 7, START_MS)]
    service.world.put([packed_record(one) for one in told], packed(states), START_MS)
    yield service
    service.runner.close()


def ids(listing: Any) -> list[str]:
    return [one["id"] for one in listing.get("stations", listing.get("features"))]


@pytest.mark.parametrize("open_now", [{}, {"open_now": "true"}], ids=["", "filtered"])
@pytest.mark.parametrize("fields", ["name", "lat,evses", "id", ",".join(SUMMARY_MEMBERS)])
def test_fields_are_those_members_of_the_plain_answer(service: Service, fields: str, open_now: dict[str, str]) -> None:
    names = {"id", *fields.split(",")}
    for handler, query in ((service.reader.nearby, HERE), (service.reader.stations, BOX)):
        plain, chosen = (service.json(handler, {**query, **open_now, **more}) for more in ({}, {"fields": fields}))
        assert plain["stations"]
        assert chosen == plain | {"stations": [{k: one[k] for k in one if k in names} for one in plain["stations"]]}


def test_fields_of_one_station(service: Service) -> None:
    plain = service.json(service.reader.station, {}, {"id": "DE*ABC~L3"})
    for name in plain:
        assert name in STATION_MEMBERS
        chosen = service.json(service.reader.station, {"fields": name}, {"id": "DE*ABC~L3"})
        assert chosen == {"id": plain["id"], name: plain[name]}
    assert service.json(service.reader.station, {"fields": "owner"}, {"id": "DE*ABC~L3"}) == {"id": plain["id"]}


def as_feature(station: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": station["id"],
        "geometry": {"type": "Point", "coordinates": [station["lon"], station["lat"]]},
        "properties": {k: v for k, v in station.items() if k not in ("id", "lat", "lon")},
    }


@pytest.mark.parametrize("open_now", [{}, {"open_now": "true"}], ids=["", "filtered"])
def test_geojson_says_the_same_as_the_plain_answer(service: Service, open_now: dict[str, str]) -> None:
    for handler, query in ((service.reader.nearby, HERE), (service.reader.stations, BOX)):
        plain = service.json(handler, {**query, **open_now})
        response = service.get(handler, {**query, **open_now, "format": "geojson"})
        assert response.content_type == "application/geo+json"
        assert isinstance(response.body, bytes)
        told = orjson.loads(response.body)
        features = [as_feature(one) for one in plain.pop("stations")]
        assert told == {"type": "FeatureCollection", "features": features, **plain}
        assert ("excluded_unknown_hours" in told) == bool(open_now)
    plain = service.json(service.reader.station, {}, {"id": "DE*ABC~L3"})
    assert service.json(service.reader.station, {"format": "geojson"}, {"id": "DE*ABC~L3"}) == as_feature(plain)


def test_geojson_keeps_its_geometry_whatever_the_fields(service: Service) -> None:
    told = service.json(service.reader.stations, {**BOX, "format": "geojson", "fields": "name,lat"})
    for feature, station in zip(told["features"], STATIONS, strict=True):
        assert feature["geometry"]["coordinates"] == [station.lon, station.lat]
        assert feature["properties"] == {"name": station.name}


def test_a_form_has_an_etag_and_pages_of_its_own(service: Service) -> None:
    tags = {
        service.get(service.reader.station, query, {"id": "DE*ABC~L3"}).headers["ETag"]
        for query in ({}, {"format": "geojson"}, {"fields": "name"})
    }
    assert len(tags) == 3
    link = service.get(service.reader.stations, {**BOX, "limit": 1, "format": "geojson", "fields": "name"}).headers[
        "Link"
    ]
    assert "format=geojson" in link and "fields=name" in link and "after=1" in link


def test_plain_bytes_are_what_they_were(service: Service) -> None:
    """`format=json` is the plain answer to the byte."""
    one = {"id": "DE*ABC~L3"}
    reader = service.reader
    for handler, query, match in ((reader.nearby, HERE, {}), (reader.stations, BOX, {}), (reader.station, {}, one)):
        assert service.get(handler, query, match).body == service.get(handler, {**query, "format": "json"}, match).body


# -- by EVSE id -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evse_id", "found"),
    [
        ("DE*ABC*E1*1", ["DE*ABC~L3"]), ("deabce11", ["DE*ABC~L3"]), ("de-abc e11", ["DE*ABC~L3"]),
        ("DE*ABC*E1*2", ["DE*ABC~L3", "DE*ABC~L6"]), ("DE*ABC*E1", []), ("E0", []), ("DE*ABC~L3", []),
    ],
)  # fmt: skip
def test_a_station_is_found_by_the_id_on_its_charger(service: Service, evse_id: str, found: list[str]) -> None:
    assert ids(service.json(service.reader.stations, {"evse_id": evse_id})) == found


def test_what_is_found_by_an_id_is_the_summary_of_a_list(service: Service) -> None:
    (found,) = service.json(service.reader.stations, {"evse_id": "deabce11"})["stations"]
    assert found in service.json(service.reader.stations, BOX)["stations"]
    assert ids(service.json(service.reader.stations, {"evse_id": "deabce12", "operator": "strasse"})) == ["DE*ABC~L6"]
    assert ids(service.json(service.reader.stations, {"evse_id": "deabce11", "available": "2"})) == []
    link = service.get(service.reader.stations, {"evse_id": "deabce12", "limit": "1"}).headers["Link"]
    assert "evse_id=deabce12" in link and "after=1" in link


def test_an_id_is_found_as_soon_as_its_station_is_and_no_longer(service: Service) -> None:
    asked = {"evse_id": "NEW1"}
    assert ids(service.json(service.reader.stations, asked)) == []
    new = msgspec.structs.replace(STATIONS[2], evses=(with_id(0, "new*1"),))
    service.world.put([packed_record(Told(3, 5, new))], packed([]), START_MS)
    assert ids(service.json(service.reader.stations, asked)) == ["DE*ABC~L9"]
    service.world.put_states(packed([State(3, 0, 6, Status.REMOVED, START_MS, START_MS)]), START_MS)
    assert ids(service.json(service.reader.stations, asked)) == []
    service.world.put([packed_record(Told(3, 7, None))], packed([]), START_MS)
    assert ids(service.json(service.reader.stations, asked)) == []


def test_more_ids_than_are_read_at_once_are_read(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapsvc.reading, "IDS_AT_ONCE", 1)
    assert ids(service.json(service.reader.stations, {"evse_id": "deabce12"})) == ["DE*ABC~L3", "DE*ABC~L6"]


def test_what_is_found_is_shown_as_of_when_it_was_found(service: Service) -> None:
    """R7: reading the ids took so long that a status ran out meanwhile."""
    times = iter((START_MS, START_MS + 900_000))
    reader = Reader(
        service.world,
        service.tiles,
        service.bodies,
        lambda: next(times),
        lambda: True,
        "http://maps.test",
        no_drive_times(service.world),
    )
    (found,) = service.json(reader.stations, {"evse_id": "deabce11"})["stations"]
    assert (found["evses"]["available"], found["evses"]["unknown"]) == (0, 2)


def test_nothing_is_found_before_the_stations_are_there(service: Service) -> None:
    reader = Reader(
        service.world,
        service.tiles,
        service.bodies,
        lambda: START_MS,
        lambda: False,
        "http://maps.test",
        no_drive_times(service.world),
    )
    with pytest.raises(Unavailable):
        service.get(reader.stations, {"evse_id": "deabce12"})
