"""Countries by code and by position."""

from __future__ import annotations

import pytest
import tzfpy

from mapsvc.importers import countries
from mapsvc.importers.report import Reason


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("FR", "FRA"),
        ("fra", "FRA"),
        ("de", "DEU"),
        ("GBR", "GBR"),
        ("XK", "XKX"),
        ("UK", None),
        ("France", None),
        ("", None),
    ],
)
def test_codes(code: str, expected: str | None) -> None:
    assert countries.alpha3(code) == expected


@pytest.mark.parametrize(
    ("lat", "lon", "country", "doubt"),
    [
        (48.8566, 2.3522, "FRA", None),
        (2.3522, 48.8566, "FRA", Reason.SWAPPED),
        (2.3522, 48.8566, "DEU", Reason.OUTSIDE_COUNTRY),
        (-21.1, 55.5, "FRA", None),  # La Réunion files under France
        (-21.1, 55.5, "REU", None),
        (52.37, 4.90, "NLD", None),
        (48.573, 7.752, "FRA", None),  # Strasbourg
        (48.573, 7.82, "FRA", None),  # on the German bank, within the margin of doubt
        (49.146, 9.209, "FRA", Reason.OUTSIDE_COUNTRY),
        (44.95, 34.1, "RUS", None),
        (44.95, 34.1, "UKR", None),
        (90.0, 0.0, "NOR", Reason.OUTSIDE_COUNTRY),
        (-18.0, 179.999, "FJI", None),
        (51.5, 179.0, "BVT", None),  # an island without a time zone: nothing can be said
    ],
)
def test_doubts(lat: float, lon: float, country: str, doubt: Reason | None) -> None:
    assert countries.doubt(lat, lon, country) == doubt


def test_every_land_zone_of_tzfpy_belongs_to_a_country() -> None:
    names = {name for name in tzfpy.timezonenames() if not name.startswith("Etc/")}
    assert names - set(countries._table().by_zone) == set()
