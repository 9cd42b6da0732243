"""Plugs by the names that people give them, for tables whose vocabulary nobody wrote down."""

from __future__ import annotations

import re

from geo.point import LatLon
from mapsvc.importers import countries
from mapsvc.importers.plugs import Plug
from mapsvc.importers.vocabulary import CONNECTOR_TYPE

_NAMES = {
    "CHADEMO": "chademo dcchademo chademodc",
    "DOMESTIC_E": "typee typeef ef cee75",
    "DOMESTIC_F": "schuko acschuko cee74",
    "DOMESTIC_G": "bs1363 uk3pin 3pin 3pinsquare typeg",
    "GBT_AC": "gbtac gbt202342",
    "GBT_DC": "gbtdc gbt202343",
    "IEC_60309_2_single_16": "cee3polig accee3polig bluecee",
    "IEC_62196_T1": "type1 typ1 type1j1772 j1772 saej1772 iec621961type1 yazaki",
    "IEC_62196_T1_COMBO": "ccs1 ccstype1 ccscombo1 combo1 j1772combo saecombo ccssae type1combo type1ccs ccst1",
    "IEC_62196_T2": (
        "type2 typ2 typetwo mennekes actype2 actyp2 steckdosetyp2 acsteckdosetyp2 actyp2steckdose ackupplungtyp2 "
        "actyp2fahrzeugkupplung iec621962type2 iec62196type2 type2socket type2sockettethered type2tethered type2mennekes"
    ),
    "IEC_62196_T2_COMBO": (
        "ccs2 ccstype2 ccscombo2 combo2 type2combo type2ccs typ2combo ccst2 comboccs2 dckupplungcombo dckombityp2 "
        "dcfahrzeugkupplungtypcombo2ccs ccstyp2 combotype2"
    ),
    "IEC_62196_T3A": "type3a",
    "IEC_62196_T3C": "type3 type3c scame",
    "NEMA_5_20": "nema520",
    "DOMESTIC_B": "nema515",
    "NEMA_14_50": "nema1450",
    "SAE_J3400": "nacs j3400 saej3400 tesla teslanacs nacsj3400 northamericanchargingstandard",
    "MCS": "mcs megawatt",
}
_STANDARDS = {name: standard for standard, names in _NAMES.items() for name in names.split()}

# Plain "CCS" is the combo of the land: type 1 here, type 2 elsewhere. Where both or neither are built it stays unnamed.
_PLAIN_CCS = frozenset(["ccs", "combo", "ccscombo", "comboccs", "dcccs", "ccsdc", "combinedchargingsystem"])
_COMBO_1 = frozenset(["USA", "CAN", "MEX", "KOR", "PRI"])
_NO_COMBO = frozenset(["JPN", "TWN", "CHN"])


def find_plug(words: str, position: LatLon, country: str | None) -> Plug | None:
    """The plug that `words` name: OCPI's names, or people's, in any case and with any blanks. None: not known."""
    squeezed = re.sub(r"[^a-z0-9]+", "", words.casefold())
    if squeezed in _STANDARDS:
        return Plug(_STANDARDS[squeezed])
    if squeezed in _PLAIN_CCS:
        lands = {country} if country else set(countries.countries_at(*position))
        if lands & _NO_COMBO or not lands:
            return None
        return Plug("IEC_62196_T1_COMBO" if lands & _COMBO_1 else "IEC_62196_T2_COMBO")
    standard, known = CONNECTOR_TYPE.find(words)
    return Plug(standard) if standard and known else None
