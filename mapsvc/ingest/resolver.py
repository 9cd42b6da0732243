"""Which EVSE does a report mean? Asked of the database once, then remembered: a report every few seconds is the rule.

What is remembered may be out of date, and that is found out: the door refuses a slot that is gone or carries another uid,
and the report is looked up afresh. Only a second EVSE of that name, which makes it ambiguous, is noticed later, and the sooner
where the report says no location. What was not found is not remembered: it may be imported the next second.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mapsvc.ingest.reports import Report
from sql import queries

REMEMBER_S = 600.0  # how long a resolution is believed, at most: half of it at least, so that not all are asked at once
REMEMBER_UID_S = 60.0  # of a uid alone: an import easily brings a second one
REMEMBERED = 500_000  # some 300 bytes each
RULES_S = 60.0  # how late a party's new rules are taken to heart


class Outcome(NamedTuple):
    """What became of a report, as its sender is told."""

    outcome: str
    message: str | None = None


UNKNOWN = Outcome("unknown_evse", "none of your parties has such an EVSE")
AMBIGUOUS = Outcome("ambiguous_evse", "several EVSEs have this uid: say location_id")
FORBIDDEN = Outcome("forbidden", "the EVSE belongs to another party")


class Rules(msgspec.Struct, gc=False):
    """A party's, shared by all its targets. `confirm_after_ms`: a quarter of its TTL, 0 where there is none."""

    order_by: str
    confirm_after_ms: int


class Target(msgspec.Struct, frozen=True, gc=False):
    """The EVSE that a report means. Not walked by the collector: there are hundreds of thousands, and they hold no cycles."""

    num: int
    slot: int
    shard: int
    rules: Rules
    believed_until_s: float


class Resolver:
    def __init__(self, pool: Any) -> None:
        self._pool = pool
        # By who asks first: the same name may mean another EVSE to another key.
        self._known: dict[tuple[str, ...], dict[tuple[str, str | None], Target]] = {}
        self._remembered = 0
        self._rules: dict[str, Rules] = {}

    async def targets(
        self, parties: tuple[str, ...], reports: Sequence[Report], *, fresh_look: bool
    ) -> Sequence[Target | Outcome]:
        """In the order of the reports. `fresh_look`: nothing remembered is believed."""
        known = self._known.setdefault(parties, {})
        now_s = time.monotonic()
        found: list[Target | Outcome | None] = [known.get((report.uid_key, report.location_key)) for report in reports]
        missing = [
            i
            for i, target in enumerate(found)
            if target is None or fresh_look or (isinstance(target, Target) and target.believed_until_s < now_s)
        ]
        if missing:
            answers = await self._ask(parties, [reports[i] for i in missing], now_s)
            for i, answer in zip(missing, answers, strict=True):
                found[i] = answer
        return [target if target is not None else UNKNOWN for target in found]

    async def refresh_rules(self) -> None:
        for row in await self._pool.fetch(queries.PARTIES):
            if row["id"] in self._rules:
                self._rules_of(row["id"], row)

    async def _ask(self, parties: tuple[str, ...], reports: Sequence[Report], now_s: float) -> list[Target | Outcome]:
        rows = await self._pool.fetch(
            queries.RESOLVE,
            parties,
            [report.uid_key for report in reports],
            [report.location_key for report in reports],
        )
        candidates: list[list[Any]] = [[] for _ in reports]
        for row in rows:
            candidates[row["ord"]].append(row)
        if self._remembered + len(reports) > REMEMBERED:
            self._known.clear()
            self._remembered = 0
        known = self._known.setdefault(parties, {})
        share = random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, guards nothing)
        answers: list[Target | Outcome] = []
        for report, of_report in zip(reports, candidates, strict=True):
            own = [row for row in of_report if row["own"]]
            if len(own) != 1:
                answers.append(AMBIGUOUS if own else FORBIDDEN if of_report else UNKNOWN)
                continue
            believe_s = share * (REMEMBER_UID_S if report.location_key is None else REMEMBER_S)
            row = own[0]
            rules = self._rules_of(row["party"], row)
            target = Target(row["num"], row["slot"], row["shard"], rules, now_s + believe_s)
            self._remembered += 1
            known[report.uid_key, report.location_key] = target
            answers.append(target)
        return answers

    def _rules_of(self, party: str, row: Any) -> Rules:
        """The rules as `row` tells them, in place: whoever holds a target of this party goes by them from now on."""
        order_by, confirm_after_ms = row["order_by"], (row["ttl_s"] or 0) * 1000 // 4
        rules = self._rules.get(party)
        if rules is None:
            rules = self._rules[party] = Rules(order_by, confirm_after_ms)
        rules.order_by, rules.confirm_after_ms = order_by, confirm_after_ms
        return rules
