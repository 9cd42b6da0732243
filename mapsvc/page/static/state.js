// The state of the page as one value, in the URL's fragment: whoever is sent the URL sees the same, and back works.

const PLACES = 5; // decimals of a degree: a metre

export const START = Object.freeze({
  lat: 48.8,
  lon: 9.8,
  zoom: 5,
  filters: Object.freeze({ connector: [], min_power_kw: null, max_power_kw: null, available: null, open_now: false, operator: [] }),
  sort: "distance",
  view: "nearby",
  station: null,
  from: null,
  to: null,
  reach: null,
  units: "metric",
  lang: "en",
  theme: "auto",
});

const CHOICES = {
  sort: ["distance", "drive_time"],
  view: ["nearby", "journey", "reach"],
  units: ["metric", "imperial"],
  lang: ["en", "de", "fr"],
  theme: ["auto", "light", "dark"],
};

/** @param {Window} window @param {object} preferred what holds where the URL says nothing */
export function createState(window, preferred = {}) {
  const start = { ...START, ...preferred };
  const listeners = new Set();
  let now = read(window.location.hash, start);

  function change(next) {
    const before = now;
    now = Object.freeze(next);
    for (const listener of listeners) listener(now, before);
  }

  window.addEventListener("popstate", () => change(read(window.location.hash, start)));
  window.addEventListener("hashchange", () => {
    if (window.location.hash !== write(now, start)) change(read(window.location.hash, start));
  });

  return {
    get: () => now,
    set(patch, { push = false } = {}) {
      const next = { ...now, ...patch };
      const hash = write(next, start);
      if (hash !== write(now, start)) {
        if (push) window.history.pushState(null, "", hash);
        else window.history.replaceState(window.history.state, "", hash);
      }
      change(next);
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    /** The URL of another state than now. */
    url: (patch) => window.location.href.split("#")[0] + write({ ...now, ...patch }, start),
  };
}

/** The fragment of a state; what is as at the start is left out, but for the position. */
export function write(state, start = START) {
  const told = new URLSearchParams();
  const put = (name, value) => value && told.set(name, value);
  told.set("map", `${round(state.zoom, 2)}/${round(state.lat, PLACES)}/${round(state.lon, PLACES)}`);
  for (const name of Object.keys(CHOICES)) put(name, state[name] !== start[name] && state[name]);
  put("station", state.station);
  put("from", place(state.from));
  put("to", place(state.to));
  put("reach", state.reach && reachText(state.reach));
  const { connector, operator, min_power_kw, max_power_kw, available, open_now } = state.filters;
  put("connector", connector.join(","));
  put("operator", operator.map(encodeURIComponent).join(","));
  put("min_power_kw", min_power_kw && String(min_power_kw));
  put("max_power_kw", max_power_kw && String(max_power_kw));
  put("available", available && String(available));
  put("open_now", open_now && "1");
  return "#" + told.toString().replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%7E", "~").replaceAll("%3A", ":");
}

/** Whatever the fragment holds: what makes no sense is as at the start. */
export function read(hash, start = START) {
  const told = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...start };
  const [zoom, lat, lon] = (told.get("map") ?? "").split("/").map(number);
  if (within(lat, -90, 90) && within(lon, -180, 180) && within(zoom, 0, 22)) Object.assign(state, { lat, lon, zoom });
  for (const [name, allowed] of Object.entries(CHOICES)) if (allowed.includes(told.get(name))) state[name] = told.get(name);
  state.station = told.get("station") || null;
  state.from = readPlace(told.get("from"));
  state.to = readPlace(told.get("to"));
  state.reach = readReach(told.get("reach"));
  state.filters = Object.freeze({
    connector: list(told.get("connector")).filter((word) => /^[A-Za-z0-9_]{1,64}$/.test(word)),
    operator: list(told.get("operator")).map(decoded),
    min_power_kw: positive(told.get("min_power_kw")),
    max_power_kw: positive(told.get("max_power_kw")),
    available: positive(told.get("available")),
    open_now: told.get("open_now") === "1",
  });
  return Object.freeze(state);
}

const round = (value, places) => Number(value.toFixed(places));
const number = (text) => (text === "" || text === undefined ? NaN : Number(text));
const within = (value, low, high) => value >= low && value <= high; // NaN is not
const positive = (text) => (Number(text) > 0 && Number.isFinite(Number(text)) ? Number(text) : null);
const list = (text) => (text ? text.split(",").filter(Boolean) : []);
const place = (at) => at && `${round(at.lat, PLACES)},${round(at.lon, PLACES)}` + (at.name ? `,${encodeURIComponent(at.name)}` : "");

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readPlace(text) {
  const [lat, lon, name] = (text ?? "").split(",");
  const at = { lat: number(lat), lon: number(lon) };
  if (!within(at.lat, -90, 90) || !within(at.lon, -180, 180)) return null;
  return name ? { ...at, name: decoded(name) } : at;
}

const reachText = (reach) =>
  "minutes" in reach ? `${reach.minutes}min` : `${reach.battery_kwh}kWh,${reach.soc},${reach.consumption_kwh_100km}`;

function readReach(text) {
  const minutes = /^([0-9.]+)min$/.exec(text ?? "");
  if (minutes) return positive(minutes[1]) && { minutes: Number(minutes[1]) };
  const battery = /^([0-9.]+)kWh,([0-9.]+),([0-9.]+)$/.exec(text ?? "");
  if (!battery || !battery.slice(1).every(positive)) return null;
  const [battery_kwh, soc, consumption_kwh_100km] = battery.slice(1).map(Number);
  return { battery_kwh, soc, consumption_kwh_100km };
}
