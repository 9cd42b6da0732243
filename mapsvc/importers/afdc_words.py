"""AFDC's words for plugs, cards and places, in OCPI's (developer.nrel.gov/docs/transportation/alt-fuel-stations-v1).

"TESLA" is the plug that became SAE J3400 ("NACS"), on Tesla's own and on others' chargers: the register has one word for
it, and so have cars' sockets.
"""

from __future__ import annotations

PLUGS = {
    "J1772": "IEC_62196_T1",
    "J1772COMBO": "IEC_62196_T1_COMBO",
    "CHADEMO": "CHADEMO",
    "TESLA": "SAE_J3400",
    "J3400": "SAE_J3400",
    "NACS": "SAE_J3400",
    "NEMA515": "DOMESTIC_B",  # OCPI 2.2.1 §8.4.5: type B, NEMA 5-15
    "NEMA520": "NEMA_5_20",
    "NEMA1450": "NEMA_14_50",
}

LEVELS = {
    "IEC_62196_T1": ("L2", "L1"),
    "IEC_62196_T1_COMBO": ("DC",),
    "CHADEMO": ("DC",),
    "SAE_J3400": ("DC", "L2"),  # both by the same pins
    "DOMESTIC_B": ("L1",),
    "NEMA_5_20": ("L1",),
    "NEMA_14_50": ("L2",),
}
"""At which levels of charging a plug can be: level 1 is 120 V, level 2 is 208 or 240 V, both AC (SAE J1772)."""

CREDIT_CARDS = frozenset(["A", "D", "M", "V", "CREDIT"])  # American Express, Discover, MasterCard, Visa, any

PARKING_TYPES = {
    "PARKING_GARAGE": "PARKING_GARAGE",
    "PAY_GARAGE": "PARKING_GARAGE",
    "PARKING_LOT": "PARKING_LOT",
    "PAY_LOT": "PARKING_LOT",
    "STREET_PARKING": "ON_STREET",
}

FACILITIES = {
    "AIRPORT": "AIRPORT",
    "B_AND_B": "HOTEL",
    "CONVENIENCE_STORE": "SUPERMARKET",
    "FUEL_RESELLER": "FUEL_STATION",
    "GAS_STATION": "FUEL_STATION",
    "GROCERY": "SUPERMARKET",
    "HOTEL": "HOTEL",
    "INN": "HOTEL",
    "MUSEUM": "MUSEUM",
    "REC_SPORTS_FACILITY": "SPORT",
    "RESTAURANT": "RESTAURANT",
    "SHOPPING_CENTER": "MALL",
    "SHOPPING_MALL": "MALL",
    "TRUCK_STOP": "FUEL_STATION",
}
