"""What may be subscribed to, and what a wrong wish is told."""

from __future__ import annotations

import pytest

from geo.areas import BoxArea, CellsArea, StationsArea
from mapsvc.live.query import parse_live
from mapsvc.problems import Problem


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("", "bbox"), ("bbox=0,0,1,1&cells=861faa787ffffff", "bbox"), ("bbox=0,0,10.1,10", "bbox"), ("cells=1", "cells"),
        ("cells=801ffffffffffff", "cells"), ("cells=", "cells"), ("cells=861faa787ffffff,", "cells"),
        ("cells=" + ",".join(f"85{k:03x}fffffffffff" for k in range(101)), "cells"), ("stations=", "stations"),
        ("bbox=0,0,1,1&zoom=15", "zoom"), ("bbox=0,0,1,1&nonsense=1", "nonsense"), ("bbox=0,0,nan,1", "bbox"),
        ("bbox=0,0,1,1&available=0", "available"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(query: str, parameter: str) -> None:
    with pytest.raises(Problem) as raised:
        parse_live(query)
    assert parameter in [fault.where for fault in raised.value.faults]


def test_what_is_asked_for() -> None:
    box = parse_live("bbox=0,0,10,10&available=2&zoom=11")
    assert isinstance(box.area, BoxArea)
    assert (box.view.wanted.available, box.view.zoom) == (2, 11)
    cells = parse_live("cells=861FAA787ffffff&last_event_id=1.2")
    assert isinstance(cells.area, CellsArea)
    assert cells.last_event_id == "1.2"
    stations = parse_live("stations=DE*ABC~1,de*abc~2")
    assert isinstance(stations.area, StationsArea)
    assert stations.area.keys == {"de*abc~1", "de*abc~2"}
