"""OCPI's enums, and how to recognise their values in other spellings.

2.3.0 made several enums open; a value that an open enum does not know is kept as told, in OCPI's way of writing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from geo.station import Status

_SQUEEZED = re.compile(r"[^a-z0-9]+")
_UNDERSCORED = re.compile(r"[^A-Z0-9]+")
WORD_LIMIT = 64  # characters of an unknown value worth keeping


class Vocabulary:
    """The values of one enum. `find` ignores case, blanks, dashes and underscores."""

    def __init__(self, values: str, *, open: bool = False, also: Mapping[str, str] | None = None) -> None:
        self.values = frozenset(values.split())
        self.allowed = "one of: " + ", ".join(sorted(self.values))
        self._open = open
        self._by_squeezed = {_squeeze(value): value for value in self.values} | dict(also or {})

    def find(self, raw: str) -> tuple[str | None, bool]:
        """The value meant by `raw` (None: none) and whether the enum has it."""
        squeezed = _squeeze(raw)
        if squeezed in self._by_squeezed:
            return self._by_squeezed[squeezed], True
        if self._open and squeezed and len(raw) <= WORD_LIMIT:
            return _UNDERSCORED.sub("_", raw.upper()).strip("_") or None, False
        return None, False


def _squeeze(raw: str) -> str:
    return _SQUEEZED.sub("", raw.casefold())


# OCPI 2.2.1 §8.4.5; MCS and SAE_J3400 are 2.3.0's. UNKNOWN is ours, for a plug that is told but not named.
CONNECTOR_TYPE = Vocabulary(
    """CHADEMO CHAOJI DOMESTIC_A DOMESTIC_B DOMESTIC_C DOMESTIC_D DOMESTIC_E DOMESTIC_F DOMESTIC_G DOMESTIC_H DOMESTIC_I
    DOMESTIC_J DOMESTIC_K DOMESTIC_L DOMESTIC_M DOMESTIC_N DOMESTIC_O GBT_AC GBT_DC IEC_60309_2_single_16
    IEC_60309_2_three_16 IEC_60309_2_three_32 IEC_60309_2_three_64 IEC_62196_T1 IEC_62196_T1_COMBO IEC_62196_T2
    IEC_62196_T2_COMBO IEC_62196_T3A IEC_62196_T3C MCS NEMA_5_20 NEMA_6_30 NEMA_6_50 NEMA_10_30 NEMA_10_50 NEMA_14_30
    NEMA_14_50 PANTOGRAPH_BOTTOM_UP PANTOGRAPH_TOP_DOWN SAE_J3400 TESLA_R TESLA_S""",
    open=True,
)
UNNAMED_PLUG = "UNKNOWN"

DC_ONLY = Vocabulary(
    "CHADEMO CHAOJI GBT_DC IEC_62196_T1_COMBO IEC_62196_T2_COMBO MCS PANTOGRAPH_BOTTOM_UP PANTOGRAPH_TOP_DOWN"
).values
"""Plugs that carry direct current only, by their standards."""

CONNECTOR_FORMAT = Vocabulary("SOCKET CABLE")  # §8.4.4

POWER_TYPE = Vocabulary(  # §8.4.19
    "AC_1_PHASE AC_2_PHASE AC_2_PHASE_SPLIT AC_3_PHASE DC",
    also={"ac1": "AC_1_PHASE", "ac2": "AC_2_PHASE", "ac3": "AC_3_PHASE"},
)

CAPABILITY = Vocabulary(  # §8.4.3
    """CHARGING_PROFILE_CAPABLE CHARGING_PREFERENCES_CAPABLE CHIP_CARD_SUPPORT CONTACTLESS_CARD_SUPPORT
    CREDIT_CARD_PAYABLE DEBIT_CARD_PAYABLE PED_TERMINAL REMOTE_START_STOP_CAPABLE RESERVABLE RFID_READER
    START_SESSION_CONNECTOR_REQUIRED TOKEN_GROUP_CAPABLE UNLOCK_CAPABLE""",
    open=True,
)

FACILITY = Vocabulary(  # §8.4.12
    """HOTEL RESTAURANT CAFE MALL SUPERMARKET SPORT RECREATION_AREA NATURE MUSEUM BIKE_SHARING BUS_STOP TAXI_STAND
    TRAM_STOP METRO_STATION TRAIN_STATION AIRPORT PARKING_LOT CARPOOL_PARKING FUEL_STATION WIFI""",
    open=True,
)

PARKING_RESTRICTION = Vocabulary(  # §8.4.17; the last three are 2.3.0's
    "EV_ONLY PLUGGED DISABLED CUSTOMERS MOTORCYCLES EMPLOYEES TAXIS TENANTS", open=True
)

PARKING_TYPE = Vocabulary(  # §8.4.18; 2.1.1 calls the field `type` and has OTHER and UNKNOWN besides: no type
    "ALONG_MOTORWAY PARKING_GARAGE PARKING_LOT ON_DRIVEWAY ON_STREET UNDERGROUND_GARAGE",
)

STATUS = Vocabulary(  # §8.4.22, and OCPP's words for it (1.6 §7.7, 2.0.1)
    " ".join(status.name for status in Status),
    also={
        "preparing": "CHARGING",
        "suspendedev": "CHARGING",
        "suspendedevse": "CHARGING",
        "finishing": "CHARGING",
        "occupied": "CHARGING",
        "unavailable": "INOPERATIVE",
        "faulted": "OUTOFORDER",
        "offline": "UNKNOWN",
    },
)
