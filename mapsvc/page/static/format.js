// Distances, durations, ages, powers, prices and hours as people read them, in the units and the language chosen.

import { translator } from "./strings.js";

const M_PER_MILE = 1609.344, M_PER_FOOT = 0.3048;
const FEET_BELOW_M = 300; // then miles
const NBSP = "\u00a0";
const AGES = [["second", 1, 60], ["minute", 60, 60], ["hour", 3600, 24], ["day", 86400, Infinity]];

/** @param {() => {lang: string, units: "metric"|"imperial"}} now */
export function createFormat(now) {
  const t = translator(() => now().lang);
  const unit = (value, name, digits = 0) =>
    made(Intl.NumberFormat, now().lang, { style: "unit", unit: name, maximumFractionDigits: digits }).format(value);

  const format = {
    number: (value, digits = 0) =>
      made(Intl.NumberFormat, now().lang, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value),

    distance(metres) {
      if (now().units === "imperial") {
        if (metres < FEET_BELOW_M) return unit(step(metres / M_PER_FOOT, 50), "foot");
        return unit(metres / M_PER_MILE, "mile", metres < 10 * M_PER_MILE ? 1 : 0);
      }
      if (metres < 995) return unit(step(metres, 10), "meter");
      return unit(metres / 1000, "kilometer", metres < 9950 ? 1 : 0);
    },

    /** Minutes and hours; what takes less than half a minute still takes one. */
    duration(seconds) {
      const minutes = Math.max(1, Math.round(seconds / 60));
      const [h, min] = [Math.floor(minutes / 60), minutes % 60];
      const parts = [h && `${format.number(h)}${NBSP}h`, (min || !h) && `${format.number(min)}${NBSP}min`];
      return parts.filter(Boolean).join(" ");
    },

    /** A short age: "4 s", "12 min", "3 h". */
    seconds(age) {
      if (age < 60) return `${format.number(Math.max(0, Math.round(age)))}${NBSP}s`;
      return age < 5400 ? `${format.number(Math.round(age / 60))}${NBSP}min` : `${format.number(Math.round(age / 3600))}${NBSP}h`;
    },

    /** "4 seconds ago". Clocks differ: what is to come is now. */
    ago(instant, at_ms = Date.now()) {
      const age = Math.max(0, (at_ms - Date.parse(instant)) / 1000);
      const [name, size] = AGES.find(([, size, count]) => age < size * count);
      return made(Intl.RelativeTimeFormat, now().lang, { numeric: "auto" }).format(-Math.floor(age / size), name);
    },

    /** Of a connector or a station; null and 0 are not known. */
    power(kw) {
      if (!(kw > 0)) return t("power.unknown");
      return `${made(Intl.NumberFormat, now().lang, { maximumFractionDigits: kw < 10 ? 1 : 0 }).format(kw)}${NBSP}kW`;
    },

    /** Of a station's details. Tariffs are ids: what they cost nobody told us, and unknown is never 0. */
    price({ price_text, free_of_charge, evses = [] }) {
      if (price_text?.trim()) return price_text.trim();
      if (free_of_charge === true) return t("price.free");
      const tariffs = new Set(evses.flatMap(({ connectors }) => connectors.flatMap(({ tariff_ids = [] }) => tariff_ids)));
      return tariffs.size ? t("price.tariffs", { tariffs: list([...tariffs]) }) : t("price.unknown");
    },

    /** Open now or not, and today's hours. */
    hours(station, at_ms = Date.now()) {
      const { opening_times: times, open_now, opening_times_text: text } = station;
      if (times?.twentyfourseven) return t("hours.always");
      const today = hoursToday(times, station.time_zone, at_ms);
      return [
        open_now === true ? t("hours.open") : open_now === false ? t("hours.closed") : text ? null : t("hours.unknown"),
        today && (today.length ? t("hours.today", { hours: list(today.map((period) => period.join("–"))) }) : t("hours.notToday")),
        text,
      ].filter(Boolean).join(", ");
    },

    openNow: (open) => t(open === true ? "hours.open" : open === false ? "hours.closed" : "hours.unknown"),
    list: (words) => list(words),
  };

  const list = (words) => words.join(", ");
  return format;
}

/** Intl's objects are slow to make, and asked for each second. */
const kept = new Map();
function made(Kind, lang, options) {
  const key = Kind.name + lang + JSON.stringify(options);
  if (!kept.has(key)) kept.set(key, new Kind(lang, options));
  return kept.get(key);
}

const step = (value, size) => Math.round(value / size) * size;
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]; // OCPI counts from Monday, 1

/**
 * Today's periods of OCPI hours, where the station is; null: they are not known.
 * A closing that covers all of now's day is not looked for: `open_now` tells.
 * @returns {[string, string][]|null}
 */
export function hoursToday(times, time_zone, at_ms) {
  if (!times?.regular_hours) return null;
  const name = made(Intl.DateTimeFormat, "en-US", { weekday: "short", timeZone: known(time_zone) }).format(at_ms);
  const today = WEEKDAYS.indexOf(name) + 1;
  return times.regular_hours
    .filter(({ weekday }) => weekday === today)
    .map(({ period_begin, period_end }) => [period_begin, period_end])
    .sort();
}

function known(time_zone) {
  try {
    return time_zone && new Intl.DateTimeFormat("en-US", { timeZone: time_zone }) ? time_zone : undefined;
  } catch {
    return undefined; // then where the reader is
  }
}
