"""What every recording comes down to: at an instant of the source, statuses, and whether all the rest is still so."""

from __future__ import annotations

from typing import NamedTuple

from geo.station import Status


class Update(NamedTuple):
    location_id: str
    uid: str
    status: Status


class Step(NamedTuple):
    """`confirms`: the source was heard in full, so that whatever it does not mention here is as it was."""

    at_ms: int
    updates: tuple[Update, ...]
    confirms: bool
