"""`GET /v1/live`: its parameters, and what they ask for."""

from __future__ import annotations

from typing import NamedTuple

import h3.api.basic_int as h3

from geo.areas import Area, BoxArea, CellsArea, StationsArea
from geo.point import Box
from mapsvc.live.tick import View
from mapsvc.openapi.operation import Operation, Response
from mapsvc.parameter import Given, Kind, Parameter, Table, comma_list, whole
from mapsvc.params import BBOX, FILTERS, IDS, filter_of
from mapsvc.tiles import MAX_ZOOM

MAX_AREA_DEG2 = 100.0  # half of Germany
MAX_CELLS = 100
CELL_RESOLUTIONS = range(4, 10)  # 1,770 km² to 0.1 km²

EVENT_STREAM = "text/event-stream"


class LiveQuery(NamedTuple):
    area: Area
    view: View
    last_event_id: str


def _box(text: str) -> Box:
    box: Box | None = BBOX.kind.parse(text)
    assert box is not None
    if box.area_deg2 > MAX_AREA_DEG2:
        raise ValueError
    return box


def _cells(text: str) -> tuple[int, ...]:
    found = set()
    for word in text.split(","):
        if not 0 < len(word) <= 16 or not set(word.lower()) <= set("0123456789abcdef"):
            raise ValueError
        cell = int(word, 16)
        if not h3.is_valid_cell(cell) or h3.get_resolution(cell) not in CELL_RESOLUTIONS:
            raise ValueError
        found.add(cell)
    if len(found) > MAX_CELLS:
        raise ValueError
    return tuple(sorted(found))


LIVE_BOX = Parameter(
    "bbox",
    Kind(
        _box,
        f"west,south,east,north in degrees, at most {MAX_AREA_DEG2:g} square degrees; west > east crosses the antimeridian",
        BBOX.kind.schema,
    ),
    f"The stations in a box of at most {MAX_AREA_DEG2:g} square degrees. Exactly one of `bbox`, `cells` and `stations`.",
    BBOX.example,
    None,
)
CELLS = Parameter(
    "cells",
    Kind(
        _cells,
        f"1 to {MAX_CELLS} H3 cells of resolution {CELL_RESOLUTIONS[0]} to {CELL_RESOLUTIONS[-1]}, comma-separated",
        comma_list({"type": "string", "pattern": "^[0-9a-fA-F]{15,16}$"}, MAX_CELLS),
    ),
    "The stations in these H3 cells. Exactly one of `bbox`, `cells` and `stations`.",
    "861faa787ffffff",
    None,
)
STATIONS = Parameter(
    "stations",
    IDS.kind,
    "These stations, by id, in any case; they may come later. Exactly one of `bbox`, `cells` and `stations`.",
    IDS.example,
    None,
)
ZOOM = Parameter(
    "zoom",
    whole(0, MAX_ZOOM),
    "The zoom whose tiles are named as touched. Those further out are their ancestors.",
    "12",
    MAX_ZOOM,
)
RESUME = Parameter(
    "last_event_id",
    Kind(lambda text: text[:512], "the last id", {"type": "string", "maxLength": 512}),
    "Resumes there, as the header `Last-Event-ID` does, which a browser sends by itself when its connection was cut.",
    "1",
    "",
)
TABLE = Table(LIVE_BOX, CELLS, STATIONS, ZOOM, RESUME, *FILTERS)


def parse_live(query: str) -> LiveQuery:
    given = Given(query, TABLE)
    if len(given.names & {"bbox", "cells", "stations"}) != 1:
        given.fault("bbox", "exactly one of bbox, cells and stations")
    given.done()
    box, cells, keys = given[LIVE_BOX], given[CELLS], given[STATIONS]
    if box is not None:
        area: Area = BoxArea(box)
    elif cells is not None:
        area = CellsArea(cells)
    else:
        assert keys is not None
        area = StationsArea(keys)
    return LiveQuery(area, View(filter_of(given), given[ZOOM]), given[RESUME])


LIVE = Operation(
    id="live",
    method="GET",
    path="/v1/live",
    tag="Live",
    summary="What is there, and then every change as it happens (Server-Sent Events)",
    description=(
        "First `snapshot` events with the stations of the area that match the filters (`{stations, more}`), then `change` "
        "(`{stations, tiles}`: they match, and look like this) and `leave` (`{ids, tiles}`: they do not match any more, or are "
        "gone). An event says what is now, so one that comes twice does no harm. `tiles` are those touched, `{z, x, y, etag}`, "
        "at the `zoom` asked for; `etag` is the one that the tile has from now on (gzipped: with `-gz` at its end), null where "
        "this worker does not know it, and for aggregates, which follow within a second. The `id` of an event is good on any "
        "worker: who reconnects with it as `Last-Event-ID` is told what changed since, or gets `reset` and a snapshot. Changes "
        "are gathered for at most 100 ms, and the latest wins; a status that is only confirmed is no change. A comment comes "
        "at least every 15 s."
    ),
    parameters=TABLE.parameters,
    responses={200: Response("The stream.", {EVENT_STREAM: {"type": "string"}}, ("Cache-Control",))},
    refusals=(400, 429, 503),
)
