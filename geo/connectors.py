"""OCPI's connector names, so that a filter can refuse a misspelt one instead of finding nothing."""

from __future__ import annotations

# OCPI 2.2.1 ConnectorType (8.4.5), and what 2.3.0 added (MCS, SAE_J3400).
CONNECTOR_TYPES: tuple[str, ...] = (
    "CHADEMO", "CHAOJI",
    *(f"DOMESTIC_{letter}" for letter in "ABCDEFGHIJKLMNO"),
    "GBT_AC", "GBT_DC", "IEC_60309_2_single_16", "IEC_60309_2_three_16", "IEC_60309_2_three_32", "IEC_60309_2_three_64",
    "IEC_62196_T1", "IEC_62196_T1_COMBO", "IEC_62196_T2", "IEC_62196_T2_COMBO", "IEC_62196_T3A", "IEC_62196_T3C",
    "MCS", "NEMA_5_20", "NEMA_6_30", "NEMA_6_50", "NEMA_10_30", "NEMA_10_50", "NEMA_14_30", "NEMA_14_50",
    "PANTOGRAPH_BOTTOM_UP", "PANTOGRAPH_TOP_DOWN", "SAE_J3400", "TESLA_R", "TESLA_S", "UNKNOWN",
)  # fmt: skip

CONNECTOR_BY_FOLDED = {name.casefold(): name for name in CONNECTOR_TYPES}
