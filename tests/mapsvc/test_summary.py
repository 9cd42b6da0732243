"""GET /v1/status-summary against plain loops: whatever happens to the world, and as time goes by. Promise R7."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

import mapsvc.tally
from cache.replica import Replica
from geo.party_clocks import PartyClock
from geo.station import Status
from geo.world import World
from mapsvc.problems import Problem, Unavailable
from mapsvc.summary import SHOWN, Rate, Summary, parse_summary
from mapsvc.tally import Tally
from tests.geo.model_world import ModelWorld, State, Told
from tests.geo.worlds import PARTIES, START_MS, WorldMachine, examples, make_evse, make_station, packed, record

Counts = dict[str, tuple[int, dict[str, int]]]


def plainly_counted(model: ModelWorld) -> Counts:
    """By party with a station: how many, and its EVSEs by the status shown."""
    counted: dict[str, tuple[int, Counter[str]]] = {}
    for num, at in model.stations.items():
        stations, evses = counted.get(at.station.party, (0, Counter()))
        evses.update(state.status.name for state in model.evse_states(num))
        counted[at.station.party] = stations + 1, evses
    return {party: (count, dict(evses)) for party, (count, evses) in counted.items()}


def tallied(world: World, tally: Tally) -> Counts:
    while not tally.catch_up():
        pass
    counts = tally.counts()
    return {
        world.parties[i]: (
            int(counts.stations[i]),
            {status.name: int(counts.evses[i, status]) for status in SHOWN if counts.evses[i, status]},
        )
        for i in np.flatnonzero(counts.stations).tolist()
    }


class TallyMachine(WorldMachine):
    """`often` is asked after every step, in slices of two stations; `seldom` at the end only, when much has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.often, self.seldom = Tally(self.world), Tally(self.world)

    def check(self) -> None:
        assert tallied(self.world, self.often) == plainly_counted(self.model)
        for column in self.often.counts():
            assert (column >= 0).all()

    def teardown(self) -> None:
        for tally in (self.seldom, Tally(self.world)):
            assert tallied(self.world, tally) == plainly_counted(self.model)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapsvc.tally, "ROWS_AT_ONCE", 2)


TestTally = TallyMachine.TestCase
TestTally.settings = examples(60)


# -- the answer -----------------------------------------------------------------------------------------------------------


class Service:
    """Two stations of DE*ABC, one of FR*XYZ, two EVSEs each, on a clock of its own."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.world, self.model = World(), ModelWorld(START_MS)
        self.replica = Replica("redis://127.0.0.1:1", self.world, lambda: self.now_ms)
        self.age_s: float | None = 0.25
        self.runner = asyncio.Runner()
        self.summary = Summary(self.replica, lambda: self.age_s)
        told = [
            Told(num, 1, make_station(num, 48.0 + num, 2.0, [make_evse(slot) for slot in (0, 1)])) for num in (3, 6, 1)
        ]
        states = [
            State(num, slot, 2, (Status.AVAILABLE, Status.CHARGING)[slot], START_MS, START_MS)
            for num in (3, 6, 1)
            for slot in (0, 1)
        ]
        self.world.put([record(one) for one in told], packed(states), START_MS)
        for position in self.replica.positions:
            position.n = position.target = 1

    def get(self, query: str = "", **headers: str) -> web.Response:
        request = make_mocked_request("GET", f"/v1/status-summary{query}", headers=headers)
        return self.runner.run(self.summary.summary(request))

    def json(self, query: str = "") -> Any:
        response = self.get(query)
        assert isinstance(response.body, bytes)
        return orjson.loads(response.body)

    def put(self, *states: State) -> None:
        self.world.put_states(packed(states), self.now_ms)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.runner.close()


def some(told: dict[str, int]) -> dict[str, int]:
    """What is not 0, and the sum is the sum."""
    assert told["total"] == sum(told[status.name] for status in SHOWN)
    return {name: count for name, count in told.items() if count and name != "total"}


def test_it_tells_stations_and_evses_by_status_in_all_and_by_party(service: Service) -> None:
    service.world.set_parties({"DE*ABC": PartyClock(600, START_MS - 5000), "irve": PartyClock(None)}, START_MS)
    service.replica.epoch, service.replica.lag_ms = 7, 12
    told = service.json()
    assert told["as_of"] == "2026-09-21T14:13:20Z"
    assert (told["stations"], some(told["evses"])) == (3, {"AVAILABLE": 3, "CHARGING": 3})
    assert (told["epoch"], told["lag_s"], told["data_age_s"]) == (7, 0.012, 0.25)
    first, second = told["parties"]
    assert (first["id"], first["stations"], some(first["evses"])) == ("DE*ABC", 2, {"AVAILABLE": 2, "CHARGING": 2})
    assert (first["ttl_s"], first["heartbeat_at"]) == (600, "2026-09-21T14:13:15Z")
    assert (second["id"], second["ttl_s"], second["heartbeat_at"]) == ("FR*XYZ", 900, None)
    assert PARTIES[2] == "irve"  # it has no station here, so it is not told


def test_parties_are_chosen_in_any_case_and_the_sums_are_theirs(service: Service) -> None:
    told = service.json("?party=fr*xyz,nobody")
    assert [party["id"] for party in told["parties"]] == ["FR*XYZ"]
    assert (told["stations"], some(told["evses"])) == (1, {"AVAILABLE": 1, "CHARGING": 1})
    none = service.json("?party=nobody")
    assert (none["stations"], none["evses"]["total"], none["parties"]) == (0, 0, [])


def test_a_removed_evse_and_a_removed_station_are_not_counted(service: Service) -> None:
    service.put(State(1, 0, 9, Status.REMOVED, START_MS, START_MS))
    service.world.put([record(Told(6, 9, None))], packed([]), START_MS)
    told = service.json()
    assert (told["stations"], some(told["evses"])) == (2, {"AVAILABLE": 1, "CHARGING": 2})
    assert "REMOVED" not in told["evses"]


@pytest.mark.parametrize(("later_ms", "unknown"), [(899_000, 0), (899_999, 0), (900_000, 6), (901_000, 6)])
def test_no_status_is_counted_past_its_ttl(service: Service, later_ms: int, unknown: int) -> None:
    assert service.json()["evses"]["UNKNOWN"] == 0
    service.now_ms += later_ms
    assert service.json()["evses"]["UNKNOWN"] == unknown


def test_an_expired_status_that_is_confirmed_counts_again(service: Service) -> None:
    service.now_ms += 901_000
    assert some(service.json("?party=FR*XYZ")["evses"]) == {"UNKNOWN": 2}
    service.world.confirm(np.array([1]), np.array([0]), np.array([service.now_ms]), service.now_ms)
    service.now_ms += 1000
    assert some(service.json("?party=FR*XYZ")["evses"]) == {"AVAILABLE": 1, "UNKNOWN": 1}


def test_it_is_counted_once_a_second_however_many_ask(service: Service) -> None:
    first = service.get()
    service.put(State(1, 0, 9, Status.BLOCKED, START_MS, START_MS))
    service.now_ms += 999
    assert service.get().body is first.body
    assert service.get("", **{"If-None-Match": first.headers["ETag"]}).status == 304
    assert first.headers["Cache-Control"] == "public, max-age=1"
    service.now_ms += 1
    assert service.json()["evses"]["BLOCKED"] == 1
    service.now_ms -= 5000  # a clock that is set back
    assert service.json()["as_of"] < "2026-09-21T14:13:20"


def test_all_who_ask_at_once_get_one_counting(service: Service) -> None:
    async def ask_at_once() -> list[web.Response]:
        asking = [service.summary.summary(make_mocked_request("GET", "/v1/status-summary")) for _ in range(20)]
        return await asyncio.gather(*asking)

    assert len({id(answer.body) for answer in service.runner.run(ask_at_once())}) == 1


def test_who_gives_up_while_it_is_counted_spoils_nothing(service: Service) -> None:
    async def give_up() -> None:
        asking = asyncio.create_task(service.summary.summary(make_mocked_request("GET", "/v1/status-summary")))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    service.runner.run(give_up())
    assert some(service.json()["evses"]) == {"AVAILABLE": 3, "CHARGING": 3}


def test_a_worker_without_stations_says_so(service: Service) -> None:
    service.replica.positions[3].target = 2
    with pytest.raises(Unavailable):
        service.get()


@pytest.mark.parametrize("query", ["party=", "party=a,,b", "colour=red", "party=a&party=b"])
def test_a_bad_query_is_refused_by_name(query: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_summary(query)
    assert refused.value.faults[0].where == query.partition("=")[0]


def test_updates_are_averaged_over_the_window_or_what_is_known_of_it() -> None:
    rate = Rate()
    assert rate.over(10, 0.0, 0) is None
    for second in range(100):
        rate.sample(float(second), 5 * max(0, second - 80))
        if second == 5:
            assert rate.over(10, 5.0, 0) == 0.0
    assert rate.over(10, 99.0, 95) == 5.0
    assert rate.over(60, 99.0, 95) == pytest.approx(95 / 60, abs=0.05)
    assert rate.over(10, 99.5, 195) == pytest.approx(150 / 10.5, abs=0.05)
