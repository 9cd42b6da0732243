// The state of the map page: what is written into the URL is what is read from it, whatever else somebody writes there.

import assert from "node:assert/strict";
import test from "node:test";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(`${process.env.PAGE_STATIC}/${name}`));
const { START, createState, read, write } = await load("state.js");
const { filterCount, filterQuery, withFilters } = await load("filters.js");

/** mulberry32: the same states in each run. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS = ["A&B", "Ünïcode = #1", "a,b", "100% green", "%2C", "~", "x/y", "+", "é", "  ", "\"'<b>"];

function anyState(seed) {
  const next = random(seed);
  const one = (some) => some[Math.floor(next() * some.length)];
  const maybe = (value) => (next() < 0.5 ? value : null);
  const degrees = (span) => Number(((next() * 2 - 1) * span).toFixed(5));
  const place = () => maybe({ lat: degrees(90), lon: degrees(180), ...(next() < 0.5 ? { name: one(WORDS) } : {}) });
  return {
    lat: degrees(90), lon: degrees(180), zoom: Number((next() * 19).toFixed(2)),
    filters: {
      connector: next() < 0.5 ? [] : ["CHADEMO", "IEC_62196_T2_COMBO"].slice(0, 1 + Math.floor(next() * 2)),
      operator: next() < 0.5 ? [] : [one(WORDS), one(WORDS)],
      min_power_kw: maybe(one([22, 50, 11.5])), max_power_kw: maybe(300), available: maybe(one([1, 3])), open_now: next() < 0.5,
    },
    sort: one(["distance", "drive_time"]), view: one(["nearby", "journey", "reach"]), station: maybe(`XH*NOH~${one(WORDS)}`),
    from: place(), to: place(), reach: maybe(one([{ minutes: 20 }, { battery_kwh: 60.5, soc: 40, consumption_kwh_100km: 18 }])),
    units: one(["metric", "imperial"]), lang: one(["en", "de", "fr"]), theme: one(["auto", "light", "dark"]),
  };
}

test("what is written is what is read", () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const state = anyState(seed);
    assert.deepEqual({ ...read(write(state)) }, state, `seed ${seed}: ${write(state)}`);
  }
});

test("what makes no sense is as at the start", () => {
  for (const hash of ["", "#", "#map=1/2", "#map=x/y/z", "#map=5/91/0", "#map=5/0/181", "#map=//", "#view=none&lang=tlh", "#from=1", "#reach=min", "#%", "#&&=&", "#connector=%00<b>"]) {
    assert.deepEqual({ ...read(hash) }, { ...START, filters: { ...START.filters } }, hash);
  }
  for (const wrong of ["-5", "NaN", "Infinity", "1e999", "five"]) assert.equal(read(`#min_power_kw=${wrong}`).filters.min_power_kw, null, wrong);
});

test("what a person prefers is not written into links, and holds where they say nothing", () => {
  const start = { ...START, lang: "de", units: "imperial" };
  assert.ok(!write({ ...start }, start).includes("lang"));
  assert.equal(read("#map=5/50/8", start).lang, "de");
  assert.equal(read("#lang=fr", start).lang, "fr");
});

function fakeWindow(hash) {
  const listeners = {}, entries = [hash];
  const window = {
    location: { hash, get href() { return `http://h/${window.location.hash}`; } },
    history: {
      state: null,
      pushState(_, __, to) { entries.push(to); window.location.hash = to; },
      replaceState(_, __, to) { entries[entries.length - 1] = to; window.location.hash = to; },
    },
    addEventListener: (name, listener) => (listeners[name] = listener),
    back() { entries.pop(); window.location.hash = entries.at(-1); listeners.popstate(); },
    entries,
  };
  return window;
}

test("a move replaces the entry, a station pushes one, and back leads to where one was", () => {
  const window = fakeWindow("#map=5/50/8");
  const state = createState(window);
  const seen = [];
  state.on((now, before) => seen.push([before.station, now.station]));
  state.set({ lat: 51 });
  assert.equal(window.entries.length, 1);
  state.set({ station: "A~1" }, { push: true });
  assert.equal(window.entries.length, 2);
  window.back();
  assert.equal(state.get().station, null);
  assert.equal(state.get().lat, 51);
  assert.deepEqual(seen.at(-1), ["A~1", null]);
  assert.throws(() => (state.get().lat = 3));
});

test("filters are the API's, in one order for equal filters", () => {
  const filters = { connector: ["CHADEMO", "CCS"], min_power_kw: 50, max_power_kw: null, available: 1, open_now: true, operator: ["b", "a"] };
  assert.equal(filterQuery(filters).toString(), "connector=CCS%2CCHADEMO&min_power_kw=50&available=1&open_now=true&operator=a%2Cb");
  assert.equal(filterCount(filters), 5);
  assert.equal(filterCount(START.filters), 0);
  assert.equal(withFilters("/x", START.filters), "/x");
  assert.equal(withFilters("/x", filters, { bbox: "1,2,3,4" }).startsWith("/x?bbox=1%2C2%2C3%2C4&connector="), true);
});
