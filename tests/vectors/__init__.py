"""Vectors that more than one implementation follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from geo.ordering import OrderKey, Reported, Verdict
from geo.station import Status


class OrderingVector(NamedTuple):
    name: str
    old: Reported | None
    new: Reported
    verdict: Verdict


def ordering() -> list[OrderingVector]:
    def reported(told: dict[str, object]) -> Reported:
        key, status = told["key"], told["status"]
        assert isinstance(key, list)
        return Reported(OrderKey(*key), Status[str(status)])

    told = json.loads((Path(__file__).parent / "ordering.json").read_text(encoding="utf-8"))["vectors"]
    return [
        OrderingVector(
            each["name"], each["old"] and reported(each["old"]), reported(each["new"]), Verdict(each["verdict"])
        )
        for each in told
    ]
