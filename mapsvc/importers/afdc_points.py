"""The charging points of an AFDC station: three counts by level, and one list of plugs for all of them.

The register does not say which point has which plug. Every point of a level has all plugs that the station has at that
level: for a filter by plug the station is found, and how many points have the plug is an upper bound.
"""

from __future__ import annotations

from typing import NamedTuple

from geo.station import Evse
from mapsvc.importers.afdc_words import CREDIT_CARDS, LEVELS, PLUGS
from mapsvc.importers.item import DROPPED, KEPT
from mapsvc.importers.plugs import Plug, connector
from mapsvc.importers.report import Reason
from mapsvc.importers.table import RowItem
from mapsvc.importers.values import parse_number

MOST_POINTS = 1_000  # of one level; the largest station of all has some hundred


class _Level(NamedTuple):
    name: str
    column: str
    power_type: str | None  # level 2 is split-phase, or two legs of three phases: not told


_LEVELS = (
    _Level("DC", "ev dc fast count", "DC"),
    _Level("L2", "ev level2 evse num", None),
    _Level("L1", "ev level1 evse num", "AC_1_PHASE"),
)
COUNTS = tuple(level.column for level in _LEVELS)
TYPES = "ev connector types"


def read_evses(row: RowItem) -> tuple[Evse, ...]:
    """No power: the register has none. The uids are ours, `#` and the level, as it numbers nothing."""
    counts = {level.name: _count(row, level.column) for level in _LEVELS}
    if not any(counts.values()):
        row.remark(COUNTS[1], Reason.NO_EVSES, KEPT)
        return ()
    plugs = _plugs_by_level(row, {name for name, count in counts.items() if count})
    capabilities = _capabilities(row)
    evses: list[Evse] = []
    for level in _LEVELS:
        told = [Plug(standard, power_type=level.power_type) for standard in plugs.get(level.name, ())]
        if counts[level.name] and not told:
            row.remark(TYPES, Reason.NO_CONNECTORS, KEPT, f"{counts[level.name]} × {level.name}")
        fitted = tuple(connector(number, plug, None) for number, plug in enumerate(told, 1))
        evses += [
            Evse(f"#{level.name}-{number}", connectors=fitted, capabilities=capabilities)
            for number in range(1, counts[level.name] + 1)
        ]
    return tuple(evses)


def _count(row: RowItem, column: str) -> int:
    told = row.cell(column)
    value = parse_number(told) if told else 0.0
    if value is None or value != int(value) or not 0 <= value <= MOST_POINTS:
        row.remark(column, Reason.WRONG_TYPE if value is None else Reason.IMPLAUSIBLE_NUMBER, DROPPED, told)
        return 0
    return int(value)


def _plugs_by_level(row: RowItem, levels: set[str]) -> dict[str, list[str]]:
    """The plugs at each level that the station has. One that may be at several is where nothing else is, else at all."""
    standards: list[str] = []
    for word in row.cell(TYPES).replace(",", " ").upper().split():
        if word in PLUGS:
            standards.append(PLUGS[word])
        else:
            row.remark(TYPES, Reason.UNKNOWN_VALUE, DROPPED, word)
    placed: dict[str, list[str]] = {}
    several: list[tuple[str, list[str]]] = []
    for standard in dict.fromkeys(standards):
        possible = [level for level in LEVELS[standard] if level in levels]
        if len(possible) > 1:
            several.append((standard, possible))
        elif possible:
            placed.setdefault(possible[0], []).append(standard)
        else:
            row.remark(TYPES, Reason.PLUG_LEVEL, DROPPED, f"{standard}: no point of its level is counted")
    certain = set(placed)
    for standard, possible in several:
        bare = [level for level in possible if level not in certain]
        if len(bare) != 1:
            row.remark(TYPES, Reason.PLUG_LEVEL, KEPT, f"{standard}: {' or '.join(possible)}")
        for level in bare if len(bare) == 1 else possible:
            placed.setdefault(level, []).append(standard)
    return placed


def _capabilities(row: RowItem) -> tuple[str, ...]:
    cards = row.cell("cards accepted")
    words = set(cards.split())
    told = {
        "CREDIT_CARD_PAYABLE": not CREDIT_CARDS.isdisjoint(words),
        "DEBIT_CARD_PAYABLE": "Debit" in words,
    }
    return tuple(capability for capability, accepted in told.items() if accepted)
