"""Filters as values, and what of a station they are asked about."""

from __future__ import annotations

import pytest
from hypothesis import given

from geo.connectors import CONNECTOR_BY_FOLDED, CONNECTOR_TYPES
from geo.filters import FACILITIES, NO_FILTER, Filter, Plug, facility_bits, profile_of
from geo.profiles import ANY_CONNECTOR
from tests.geo.worlds import filters, make_evse, make_station


@given(filters, filters)
def test_filters_are_values(one: Filter, other: Filter) -> None:
    assert (one == other) <= (hash(one) == hash(other))
    assert bool(one) == (one != NO_FILTER)
    assert bool(one.connector) == (one.connector != ANY_CONNECTOR)


def test_an_evse_without_a_slot_has_no_profile() -> None:
    with pytest.raises(ValueError, match="slot"):
        profile_of(make_station(1, 0, 0, [make_evse(-1)]))


def test_slots_that_are_gone_are_empty() -> None:
    assert profile_of(make_station(1, 0, 0, [make_evse(2, [("CHADEMO", 50.0)])])) == ((), (), (Plug("CHADEMO", 50.0),))
    assert profile_of(make_station(1, 0, 0)) == ()


def test_facilities_have_a_bit_each_and_unknown_ones_none() -> None:
    assert facility_bits(make_station(1, 0, 0, facilities=FACILITIES)) == (1 << len(FACILITIES)) - 1
    assert facility_bits(make_station(1, 0, 0, facilities=("CAFE", "SAUNA"))) == 1 << FACILITIES.index("CAFE")


def test_connector_names_differ_when_case_is_folded() -> None:
    assert len(CONNECTOR_BY_FOLDED) == len(CONNECTOR_TYPES) == len(set(CONNECTOR_TYPES))
