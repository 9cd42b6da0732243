"""What the live mix learns from the target: which EVSEs its key may report, where subscribers look, and where roads are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from loadtests import places, road_survey
from loadtests import survey as surveys
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.live import Evse
from loadtests.options import KEY_VARIABLE, Options
from loadtests.survey import SurveyError

MOST_STATIONS = 2000  # that are reported: some six thousand EVSEs, each every few seconds
WORDS_AT_ONCE = 50  # alternatives that a filter takes
IDS_AT_ONCE = 100
ROAD_PLACES = 200
ABSENT = frozenset({"PLANNED", "REMOVED"})


def key() -> str:
    """Raises SurveyError."""
    found = os.environ.get(KEY_VARIABLE, "")
    if not found:
        raise SurveyError(f"the live mix reports statuses: put a key of the target into {KEY_VARIABLE}")
    return found


def survey(target: Target, options: Options) -> dict[str, Any]:
    """Raises SurveyError."""
    everything = surveys.stations(target, options.bbox, options.survey_stations)
    connection = Connection(target)
    try:
        parties = _parties(connection, target)
        found = _stations_of(target, options, parties)
        evses = _evses(connection, target, _unambiguous(connection, target, found, parties))
    finally:
        connection.close()
    if not evses:
        raise SurveyError("the key's parties have no EVSEs to report")
    try:
        spots = places.draw(everything, max(1, options.subscribers), options.seed)
    except ValueError as error:
        raise SurveyError(str(error)) from None
    return {
        "spots": [(spot.lat, spot.lon) for spot in spots],
        "evses": [tuple(evse) for evse in evses],
        "roads": road_survey.find(target, options, ROAD_PLACES) if options.road_rate else None,
    }


def _parties(connection: Connection, target: Target) -> list[str]:
    """Those whose key it is, as the answer to a heartbeat tells."""
    request = target.request("/v1/heartbeat", "POST", Authorization=f"Bearer {key()}")
    try:
        status = connection.ask(request)
    except (HttpError, OSError) as error:
        raise SurveyError(f"/v1/heartbeat: {error}") from None
    if status != 200:
        raise SurveyError(f"/v1/heartbeat answered {status}: is {KEY_VARIABLE} a key of this target?")
    return [str(party) for party in surveys.json_of(connection)["parties"]]


def _stations_of(target: Target, options: Options, parties: Sequence[str]) -> list[places.Found]:
    found: list[places.Found] = []
    for start in range(0, len(parties), WORDS_AT_ONCE):
        words = ",".join(parties[start : start + WORDS_AT_ONCE])
        found += surveys.stations(target, options.bbox, options.survey_stations, f"&operator={words}")
    own = {party.casefold() for party in parties}
    found = [one for one in found if unquote(one.id.partition("~")[0]).casefold() in own]  # a filter takes names, too
    return found[:: max(1, len(found) // MOST_STATIONS)][:MOST_STATIONS]


def _unambiguous(
    connection: Connection, target: Target, found: Sequence[places.Found], parties: Sequence[str]
) -> list[places.Found]:
    """Without those whose location id another party of the key has as well: a report could mean either."""
    ids = [
        f"{party}~{location}"
        for own, _, location in (one.id.partition("~") for one in found)
        for party in parties
        if party.casefold() != unquote(own).casefold()
    ]
    shared: set[str] = set()
    for start in range(0, len(ids), IDS_AT_ONCE):
        part = ",".join(ids[start : start + IDS_AT_ONCE])
        told = surveys.get(connection, target, f"/v1/stations?ids={part}&limit={IDS_AT_ONCE}&fields=id")
        shared |= {one["id"].partition("~")[2].casefold() for one in told["stations"]}
    return [one for one in found if one.id.partition("~")[2].casefold() not in shared]


def _evses(connection: Connection, target: Target, found: Sequence[places.Found]) -> list[Evse]:
    evses: list[Evse] = []
    for one in found:
        told = surveys.get(connection, target, f"/v1/stations/{one.id}")
        there = [evse for evse in told["evses"] if evse["status"] not in ABSENT]
        evses += [
            Evse(one.id, told["location_id"], evse["uid"], len(told["evses"]) == 1, one.lat, one.lon) for evse in there
        ]
    return evses
