// The pure parts of the map page: words, numbers, hours, lines. Run by tests/mapsvc/test_page_units.py, which names the directory.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { pathToFileURL } from "node:url";

const STATIC = `${process.env.PAGE_STATIC}/`;
const load = (name) => import(pathToFileURL(STATIC + name));
const { STRINGS, LANGUAGES, translator } = await load("strings.js");
const { createFormat, hoursToday } = await load("format.js");
const { COMMON, MORE, connectorName, counted, currentStatus, fits, kindOfCounts } = await load("connectors.js");
const { coordinates } = await load("place-field.js");
const { boxOf, lineOf } = await load("polyline.js");
const { statusWords } = await load("evse-list.js");

const t = Object.fromEntries(LANGUAGES.map((lang) => [lang, translator(() => lang)]));
const formatIn = (lang, units = "metric") => createFormat(() => ({ lang, units }));
const en = formatIn("en"), de = formatIn("de"), fr = formatIn("fr"), miles = formatIn("en", "imperial");
const plain = (text) => text.replace(/[\u00a0\u202f]/g, " ");
const NOW = Date.parse("2026-01-31T12:00:00Z"); // a Saturday

test("every key has words in all languages, with the same values in them", () => {
  const values = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].filter((one) => one !== "{n}").sort();
  for (const [key, words] of Object.entries(STRINGS)) {
    assert.equal(words.length, LANGUAGES.length, key);
    for (const text of words) {
      assert.ok(text.trim(), key);
      assert.deepEqual(values(text), values(words[0]), key);
      assert.ok(text.split("|").length <= 2, key);
    }
  }
});

test("every key that the page names has words", () => {
  for (const name of readdirSync(STATIC).filter((file) => file.endsWith(".js"))) {
    const source = readFileSync(STATIC + name, "utf8");
    for (const [, key] of source.matchAll(/\bt\("([\w.]+)"/g)) assert.ok(key in STRINGS, `${name}: ${key}`);
  }
});

test("plurals follow the language: French says 0 in the singular", () => {
  assert.equal(t.en("station.all", { n: 2 }), "Show all 2 charge points");
  assert.equal(t.en("nearby.found", { n: 1 }), "1 station listed");
  assert.equal(t.en("nearby.found", { n: 0 }), "0 stations listed");
  assert.equal(t.de("nearby.found", { n: 1 }), "1 Station in der Liste");
  assert.equal(t.fr("counts.free", { n: 0, total: 4 }), "0 libre sur 4");
  assert.equal(t.fr("counts.free", { n: 2, total: 4 }), "2 libres sur 4");
  assert.equal(plain(t.de("reach.inside", { n: 1653 })), "1.653 passende Stationen im Gebiet");
});

test("a value is never taken for a place to put another", () => {
  assert.match(t.en("alert.free", { name: "{counts}", counts: "1" }), /\{counts\}/);
});

test("distances are in the units chosen, and as exact as is of use", () => {
  assert.deepEqual([3, 348.9, 994, 1633, 9949, 42_090].map(en.distance).map(plain), ["0 m", "350 m", "990 m", "1.6 km", "9.9 km", "42 km"]);
  assert.equal(plain(de.distance(1633)), "1,6 km");
  assert.deepEqual([100, 1633, 42_090].map(miles.distance).map(plain), ["350 ft", "1 mi", "26 mi"]);
});

test("durations and ages", () => {
  assert.deepEqual([0, 29, 61, 3600, 6171].map(en.duration).map(plain), ["1 min", "1 min", "1 min", "1 h", "1 h 43 min"]);
  assert.equal(en.ago("2026-01-31T11:59:56Z", NOW), "4 seconds ago");
  assert.equal(de.ago("2026-01-31T11:40:00Z", NOW), "vor 20 Minuten");
  assert.equal(fr.ago("2026-01-30T12:00:00Z", NOW), "hier");
  assert.equal(en.ago("2026-01-31T12:00:09Z", NOW), "now"); // clocks differ
  assert.deepEqual([0.2, 59, 90, 7200].map(en.seconds).map(plain), ["0 s", "59 s", "2 min", "2 h"]);
});

test("powers are rounded where a decimal says nothing", () => {
  assert.deepEqual([3.68, 7.4, 22.1, 149.6, 350].map(en.power).map(plain), ["3.7 kW", "7.4 kW", "22 kW", "150 kW", "350 kW"]);
  assert.equal(plain(de.power(7.4)), "7,4 kW");
  for (const nothing of [0, null, undefined]) assert.equal(en.power(nothing), "power unknown");
});

test("a price that is not known is unknown, never 0", () => {
  const evses = [{ connectors: [{ tariff_ids: ["A-AC"] }, { tariff_ids: ["A-DC", "A-AC"] }, {}] }];
  assert.equal(en.price({}), "unknown");
  assert.equal(en.price({ evses }), "unknown (tariff A-AC, A-DC)");
  assert.equal(en.price({ price_text: " ", free_of_charge: false, evses }), "unknown (tariff A-AC, A-DC)");
  assert.equal(en.price({ free_of_charge: true, evses }), "free of charge");
  assert.equal(en.price({ price_text: "0,59 €/kWh", free_of_charge: true }), "0,59 €/kWh");
  for (const format of [en, de, fr]) assert.doesNotMatch(format.price({ free_of_charge: false, evses: [] }), /0/);
});

test("today's hours are of the station's day, not of the reader's", () => {
  const regular_hours = [{ weekday: 6, period_begin: "11:30", period_end: "19:00" }, { weekday: 7, period_begin: "12:00", period_end: "13:00" }];
  assert.deepEqual(hoursToday({ regular_hours }, "Europe/Berlin", NOW), [["11:30", "19:00"]]);
  assert.deepEqual(hoursToday({ regular_hours }, "Pacific/Kiritimati", NOW), [["12:00", "13:00"]]);
  assert.equal(hoursToday(undefined, "Europe/Berlin", NOW), null);
  assert.equal(hoursToday({ regular_hours }, "No/Where", NOW).length, 1);
  assert.equal(en.hours({ opening_times: { regular_hours }, time_zone: "Europe/Berlin", open_now: true }, NOW), "Open now, today 11:30–19:00");
  assert.equal(en.hours({ opening_times: { twentyfourseven: true }, open_now: true }, NOW), "Open 24/7");
  assert.equal(en.hours({ open_now: null }, NOW), "Hours unknown");
  assert.equal(en.hours({ open_now: null, opening_times_text: "Mo-Fr 8-18" }, NOW), "Mo-Fr 8-18");
});

const evse = (status, more = {}) => ({ status, reported_status: status, connectors: [], changed_at: null, seen_at: null, expires_at: null, ...more });

test("a report that has expired says nothing, and says so", () => {
  const old = evse("AVAILABLE", { seen_at: "2026-01-31T11:40:00Z", expires_at: "2026-01-31T11:55:00Z" });
  assert.equal(currentStatus(old, NOW), "UNKNOWN");
  assert.equal(statusWords(old, "UNKNOWN", NOW, t.en, en), "unknown; last reported free 20 minutes ago");
  const fresh = evse("CHARGING", { changed_at: "2026-01-31T11:59:56Z", expires_at: "2026-01-31T12:15:00Z" });
  assert.equal(statusWords(fresh, currentStatus(fresh, NOW), NOW, t.en, en), "in use, 4 seconds ago");
  assert.equal(statusWords(evse("UNKNOWN"), "UNKNOWN", NOW, t.de, de), "unbekannt");
});

test("EVSEs are counted as the API counts them", () => {
  const some = ["AVAILABLE", "CHARGING", "BLOCKED", "RESERVED", "OUTOFORDER", "PLANNED", "INOPERATIVE", "UNKNOWN", "REMOVED"].map((one) => evse(one));
  const counts = counted(some, NOW);
  assert.deepEqual(counts, { total: 8, available: 1, busy: 3, out_of_service: 3, unknown: 1 });
  assert.equal(kindOfCounts(counts), "free");
  assert.equal(kindOfCounts(counted([], NOW)), "unknown");
});

test("plug and power hold on the same connector", () => {
  const two = evse("AVAILABLE", { connectors: [{ standard: "CHADEMO", power_kw: 50 }, { standard: "IEC_62196_T2_COMBO", power_kw: 150 }] });
  const wanted = (connector, min_power_kw = null, max_power_kw = null) => ({ connector, min_power_kw, max_power_kw });
  assert.ok(fits(two, wanted([])));
  assert.ok(fits(two, wanted(["CHADEMO"], 50)));
  assert.ok(!fits(two, wanted(["CHADEMO"], 100)));
  assert.ok(!fits(two, wanted([], 60, 100)));
});

test("plugs have the names that drivers know", () => {
  assert.deepEqual(COMMON.map((one) => connectorName(one, t.de)), ["CCS", "Typ 2", "CHAdeMO", "Tesla", "Schuko"]);
  assert.equal(connectorName("IEC_60309_2_three_32", t.en), "CEE 32 A, 3 phases");
  assert.equal(connectorName("NEMA_14_50", t.en), "NEMA 14-50");
  assert.equal(connectorName("SOMETHING_NEW", t.en), "SOMETHING NEW");
  assert.equal(new Set([...COMMON, ...MORE]).size, COMMON.length + MORE.length);
});

test("coordinates are read with decimal points and commas", () => {
  assert.deepEqual(coordinates("48.667, 6.893"), { lat: 48.667, lon: 6.893 });
  assert.deepEqual(coordinates("48.667,6.893"), { lat: 48.667, lon: 6.893 });
  assert.deepEqual(coordinates("48,667; -6,893"), { lat: 48.667, lon: -6.893 });
  assert.deepEqual(coordinates("48.667 6.893"), { lat: 48.667, lon: 6.893 });
  for (const nothing of ["Oberbelnik", "Oberbelnik 4", "91, 0", "0, 181", "1", "1, 2, 3"]) assert.equal(coordinates(nothing), null, nothing);
});

test("lines are read as they were written", () => {
  // The example of the format's own description, of precision 5.
  assert.deepEqual(lineOf("_p~iF~ps|U_ulLnnqC_mqNvxq`@", 5).coordinates, [[-120.2, 38.5], [-120.95, 40.7], [-126.453, 43.252]]);
  assert.deepEqual(boxOf([[[1, 2], [3, -4]], [[0, 5]]]), [0, -4, 3, 5]);
});
