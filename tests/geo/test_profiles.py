"""Profiles and their match tables, against plug by plug."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.filters import ConnectorFilter, encode_profile, profile_of
from geo.profiles import ANY_CONNECTOR, MASK_SLOTS, Profiles
from geo.station import Station
from tests.geo.model_world import fits
from tests.geo.worlds import connector_filters, examples, make_evse, make_station, stations


@examples(50)
@given(st.lists(stations, min_size=1, max_size=12), st.lists(connector_filters, min_size=1, max_size=6))
def test_tables_follow_the_profiles_that_come_later(some: list[Station], wanted: list[ConnectorFilter]) -> None:
    """Masks and powers of every profile, whether it was interned before the filter was first asked about or after."""
    profiles = Profiles()
    for number, station in enumerate(some):
        index = profiles.intern(encode_profile(profile_of(station)))
        for connector in (wanted[number % len(wanted)], ANY_CONNECTOR):
            table, fit = profiles.matches(connector), fits(connector)
            kw = {evse.slot: [c.power_kw or 0.0 for c in evse.connectors if fit(c)] for evse in station.evses}
            fitting = {slot: max(found) for slot, found in kw.items() if found}
            assert table.mask[index] == sum(1 << slot for slot in fitting if slot < MASK_SLOTS)
            assert round(float(table.kw[index]), 1) == max(fitting.values(), default=0.0)
            plugs = profiles.plugs
            mine = slice(plugs.begin[index], plugs.begin[index + 1])
            assert set(plugs.slot[mine][table.fits[mine]].tolist()) == fitting.keys()
            assert table.size == len(profiles.profiles)


def test_equal_profiles_are_one_whatever_the_order_of_their_plugs() -> None:
    profiles = Profiles()
    one = make_station(1, 0, 0, [make_evse(0, [("CHADEMO", 50.0), ("IEC_62196_T2", None), ("IEC_62196_T2", 22.0)])])
    other = make_station(
        2, 0, 0, [make_evse(0, [("IEC_62196_T2", 22.0), ("CHADEMO", 50.0), ("IEC_62196_T2", None)] * 2)]
    )
    assert profiles.intern(encode_profile(profile_of(one))) == profiles.intern(encode_profile(profile_of(other))) == 0
    assert profiles.profiles == [profile_of(one)]


def test_many_filters_do_not_pile_up_and_a_dropped_one_answers_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Profiles, "MAX_TABLES", 3)
    profiles = Profiles()
    profiles.intern(encode_profile(profile_of(make_station(1, 0, 0, [make_evse(0, [("CHADEMO", 50.0)])]))))
    everything = profiles.matches(ANY_CONNECTOR)
    for kw in [*range(40, 60), *range(40, 60)]:
        assert bool(profiles.matches(ConnectorFilter(min_power_kw=float(kw))).mask[0]) == (kw <= 50)
    assert len(profiles._tables) <= 3
    assert profiles.matches(ANY_CONNECTOR) is everything
