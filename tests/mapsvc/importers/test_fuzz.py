"""Whatever comes in: only the importers' own errors come out, and every station that does is fit to be stored."""

from __future__ import annotations

import copy
import json
import math
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo.station import Located, decode_doc, encode_doc
from mapsvc.importers import irve, ocpi
from mapsvc.importers.report import LocationError, Report, UnreadableFile
from tests.mapsvc.importers.samples import LOCATION, ROW, evse, location

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(
        ["", " ", "NaN", "1e400", "\ud800", "\x00", "24/7", "0001-01-01T00:00:00", "-0", "2025-13-01", "#1"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)

RICH = location(
    directions=[{"language": "en", "text": "left"}],
    opening_times={
        "twentyfourseven": False,
        "regular_hours": [{"weekday": 1, "period_begin": "08:00", "period_end": "20:00"}],
        "exceptional_openings": [{"period_begin": "2025-12-24T08:00:00Z", "period_end": "2025-12-24T12:00:00Z"}],
    },
    images=[{"url": "https://example.org/a.png"}],
    operator={"name": "Op", "website": "https://example.org"},
    energy_mix={"is_green_energy": True},
    facilities=["HOTEL"],
    evses=[evse(), evse(uid="b", coordinates={"latitude": "60.1", "longitude": "5.1"})],
)


def paths(value: object, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place inside a document."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [prefix, *(path for key, each in inner for path in paths(each, (*prefix, key)))]


@st.composite
def mutated(draw: st.DrawFn, original: dict[str, Any]) -> object:
    """`original` with a few of its parts replaced, removed, doubled or wrapped."""
    document: Any = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(paths(document)))
        if not path:
            continue
        holder: Any = document
        key: Any
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        match draw(st.sampled_from(["replace", "remove", "wrap", "double", "text"])):
            case "replace":
                holder[key] = draw(JSON)
            case "remove":
                holder.pop(key)
            case "wrap":
                holder[key] = [holder[key]]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case _:
                holder[key] = str(holder[key])
    return document


def assert_fit(located: Located) -> None:
    station = located.station
    assert decode_doc(encode_doc(station)) == station
    assert abs(station.lat) <= 90
    assert abs(station.lon) <= 180
    assert (station.lat, station.lon) != (0, 0)
    assert station.party
    assert 0 < len(station.location_id) <= 255
    assert "\x00" not in encode_doc(station).decode()
    assert station.last_updated_ms >= 0
    uids = [each.uid.casefold() for each in station.evses]
    assert all(uids)
    assert len(set(uids)) == len(uids)
    assert {report.uid for report in located.reports} <= {each.uid for each in station.evses}
    for each in station.evses:
        ids = [plug.id.casefold() for plug in each.connectors]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        for plug in each.connectors:
            assert plug.standard
            assert plug.power_kw is None or (math.isfinite(plug.power_kw) and 0.5 <= plug.power_kw <= 4000)


def assert_writable(report: Report) -> None:
    with TemporaryDirectory() as folder:
        for name in ("report.tsv", "report.jsonl"):
            report.write(Path(folder) / name)
    assert report.summary()


@given(JSON | mutated(RICH))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_location_of_any_shape(document: object) -> None:
    report = Report()
    located = ocpi.parse_location(document, party="NO*FJO", report=report)
    if located:
        assert_fit(located)
    else:
        assert report.total
    try:
        strict = ocpi.parse_location(document, party="NO*FJO", report=Report(), strict=True)
    except LocationError as error:
        assert error.errors
        assert all(pointer == "" or pointer.startswith("/") for pointer, _ in error.errors)
        assert all(allowed for _, allowed in error.errors)
        assert report.total, "what strict reading refuses, tolerant reading tells"
    else:
        assert strict == located
    assert_writable(report)


@given(st.lists(JSON | mutated(RICH), max_size=4), st.sampled_from(["list", "data", "items", "bare"]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_file_of_any_locations(documents: list[object], envelope: str) -> None:
    whole: object = {"list": documents, "data": {"data": documents}, "items": {"items": documents}}.get(envelope)
    if envelope == "bare":
        whole = documents[0] if documents else None
    report = Report()
    try:
        located = list(ocpi.parse(json.dumps(whole).encode(), party=None, report=report))
    except UnreadableFile as error:
        assert envelope == "bare" or not isinstance(whole, list), error
        return
    assert len({each.station.key for each in located}) == len(located)
    for each in located:
        assert_fit(each)


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:0 1\\ndatitems', max_size=60).map(str.encode))
@settings(max_examples=300)
def test_a_file_of_any_bytes(raw: bytes) -> None:
    for parse in (partial(ocpi.parse, party="NO*FJO"), irve.parse):
        try:
            list(parse(raw, report=Report()))
        except UnreadableFile as error:
            assert error.reason


@given(st.data(), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_a_cut_file_is_unreadable(data: st.DataObject, count: int) -> None:
    raw = json.dumps([LOCATION] * count).encode()
    cut = data.draw(st.integers(1, len(raw) - 1))
    with pytest.raises(UnreadableFile):
        ocpi.parse(raw[:cut], party=None, report=Report())


@given(st.lists(mutated(ROW) | JSON, min_size=1, max_size=6))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_register_rows_of_any_shape(rows: list[object]) -> None:
    report = Report()
    try:
        located = list(irve.parse(b"\n".join(json.dumps(each).encode() for each in rows), report=report))
    except UnreadableFile:
        return
    for each in located:
        assert_fit(each)
        assert each.reports == ()
    assert_writable(report)


@given(st.permutations(range(6)), st.lists(st.sampled_from(["2024-01-01", "2025-01-01", None]), min_size=6, max_size=6))
def test_the_order_of_rows_does_not_matter(order: list[int], dates: list[str | None]) -> None:
    rows = [
        {
            **ROW,
            "id_pdc_itinerance": f"E{k}",
            "date_maj": dates[k],
            "tarification": f"{k % 3} €",
            "id_station_itinerance": f"P{k // 3}",
        }
        for k in range(6)
    ]

    def stations(numbers: list[int]) -> dict[str, object]:
        lines = b"\n".join(json.dumps(rows[k]).encode() for k in numbers)
        return {each.station.key: each.station for each in irve.parse(lines, report=Report())}

    assert stations(order) == stations(list(range(6)))
