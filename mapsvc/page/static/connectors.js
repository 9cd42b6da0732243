// OCPI's connector types by the names that drivers know, and what a driver can do at an EVSE or a station.

export const COMMON = ["IEC_62196_T2_COMBO", "IEC_62196_T2", "CHADEMO", "TESLA_S", "DOMESTIC_F"];
export const MORE = [
  "SAE_J3400", "IEC_62196_T1_COMBO", "IEC_62196_T1", "TESLA_R", "MCS", "GBT_DC", "GBT_AC", "CHAOJI", "IEC_62196_T3A", "IEC_62196_T3C", "DOMESTIC_E",
  "DOMESTIC_G", "IEC_60309_2_single_16", "IEC_60309_2_three_16", "IEC_60309_2_three_32", "IEC_60309_2_three_64", "NEMA_5_20", "NEMA_14_50",
  "PANTOGRAPH_BOTTOM_UP", "PANTOGRAPH_TOP_DOWN", "UNKNOWN",
];

const NAMES = {
  IEC_62196_T2_COMBO: "CCS", IEC_62196_T2: "Type 2", IEC_62196_T1_COMBO: "CCS 1", IEC_62196_T1: "Type 1", CHADEMO: "CHAdeMO", CHAOJI: "ChaoJi",
  TESLA_S: "Tesla", TESLA_R: "Tesla Roadster", SAE_J3400: "NACS (J3400)", MCS: "MCS", GBT_AC: "GB/T AC", GBT_DC: "GB/T DC",
  IEC_62196_T3A: "Type 3A", IEC_62196_T3C: "Type 3C",
};
const WORDS = {
  DOMESTIC_F: "connector.schuko", DOMESTIC_E: "connector.french", PANTOGRAPH_BOTTOM_UP: "connector.pantographUp",
  PANTOGRAPH_TOP_DOWN: "connector.pantographDown", UNKNOWN: "connector.unknown",
};

export function connectorName(standard, t) {
  if (NAMES[standard]) return NAMES[standard].replace(/^Type/, t("connector.type"));
  if (WORDS[standard]) return t(WORDS[standard]);
  const domestic = /^DOMESTIC_(\w)$/.exec(standard);
  if (domestic) return t("connector.domestic", { type: domestic[1] });
  const cee = /^IEC_60309_2_(single|three)_(\d+)$/.exec(standard);
  if (cee) return t("connector.cee", { n: cee[1] === "single" ? 1 : 3, phases: cee[1] === "single" ? "1" : "3", amps: cee[2] });
  return standard.replace(/^(NEMA)_(\d+)_(\d+)$/, "$1 $2-$3").replaceAll("_", " ");
}

const BROKEN = ["INOPERATIVE", "OUTOFORDER", "PLANNED"];
const BUSY = ["CHARGING", "BLOCKED", "RESERVED"];

/** What holds now: a report that has expired says nothing, even before the server is asked again. */
export const currentStatus = ({ status, expires_at }, now_ms) => (expires_at && Date.parse(expires_at) <= now_ms ? "UNKNOWN" : status);

/** "free", "busy", "out_of_service" or "unknown": the signs of the map. */
export function kindOf(status) {
  if (status === "AVAILABLE") return "free";
  return BUSY.includes(status) ? "busy" : BROKEN.includes(status) ? "out_of_service" : "unknown";
}

/** The sign of a station from its counts: the best that a driver can hope for there. */
export function kindOfCounts({ available, busy, out_of_service }) {
  return available ? "free" : busy ? "busy" : out_of_service ? "out_of_service" : "unknown";
}

export const inWordsOfCounts = (evses, t) => t(`counts.${kindOfCounts(evses)}`, { n: evses.available, total: evses.total });

/** Plug and power hold on the same connector, as the API has it. */
export function fits(evse, { connector, min_power_kw, max_power_kw }) {
  if (!connector.length && !min_power_kw && !max_power_kw) return true;
  return evse.connectors.some(({ standard, power_kw = 0 }) =>
    (!connector.length || connector.includes(standard)) && power_kw >= (min_power_kw ?? 0) && power_kw <= (max_power_kw ?? Infinity));
}

/** Counts of some EVSEs, as lists of the API have them. */
export function counted(evses, now_ms) {
  const counts = { total: 0, available: 0, busy: 0, out_of_service: 0, unknown: 0 };
  for (const evse of evses) {
    const status = currentStatus(evse, now_ms);
    if (status === "REMOVED") continue;
    counts.total += 1;
    counts[status === "AVAILABLE" ? "available" : kindOf(status)] += 1;
  }
  return counts;
}
