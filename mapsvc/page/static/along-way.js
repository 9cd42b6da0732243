// Stations along a route, with what a stop there adds to the drive; numbered here and on the map.

import { inWords, newest, post } from "./api.js";
import { button, el, fill, select } from "./dom.js";
import { filterQuery } from "./filters.js";
import { createStationRows } from "./station-rows.js";

const DETOURS_MIN = [5, 10, 15, 30];
const DISTANCE_M = { 5: 5000, 10: 5000, 15: 10_000, 30: 20_000 }; // beside the way, for so many minutes
const LIMIT = 60; // the API's most: fewer would end before the way does

export function createAlongWay(page) {
  const { state, map, t, format, seen } = page;
  const request = newest();
  const wanted = { detour: "10", sort: "offset" };
  let route = null, filters = null, stations = [], isPlain = false;

  const rows = createStationRows(page, { aside, isNumbered: true });
  const notes = el("div", { class: "notes" });
  const change = (name) => (value) => ((wanted[name] = value), again());
  const node = el("section", { hidden: true, "aria-labelledby": "along-title" },
    el("h3", { id: "along-title" }, t("along.title")),
    el("div", { class: "row" },
      select(t("along.detour"), DETOURS_MIN.map((min) => [String(min), format.duration(60 * min)]), wanted.detour, change("detour")),
      select(t("along.sort"), [["offset", t("along.offset")], ["detour", t("along.byDetour")]], wanted.sort, change("sort"))),
    notes, rows.node);

  function aside({ offset_m, detour_s }) {
    const minutes = Math.round(detour_s / 60);
    const detour = detour_s === null ? (isPlain ? null : t("along.unknownDetour"))
      : minutes ? t("along.plus", { duration: format.duration(detour_s) }) : t("along.noDetour");
    return [t("along.after", { distance: format.distance(offset_m) }), detour].filter(Boolean);
  }

  async function again() {
    if (!route) return;
    ({ filters } = state.get());
    const body = { geometry: route.geometry, max_detour_s: 60 * wanted.detour, max_distance_m: DISTANCE_M[wanted.detour], sort: wanted.sort, limit: LIMIT };
    fill(notes, el("p", { class: "muted" }, t("loading")));
    try {
      const answer = await request((signal) => post("/v1/along-route", body, filterQuery(filters), signal));
      if (!answer) return;
      ({ stations } = answer);
      isPlain = answer.degraded;
      seen.add(stations);
      rows.show(stations);
      mark();
      fill(notes,
        isPlain && el("p", {}, t("along.degraded", { reason: t(`degraded.${answer.degraded_reason}`) })),
        !answer.complete && !isPlain && el("p", { class: "muted" }, t("along.partial", { n: answer.considered })),
        !stations.length && el("p", {}, t("along.none")));
    } catch (error) {
      fill(notes, el("p", { class: "problem" }, inWords(error, t)), button(t("retry"), again));
    }
  }

  const mark = () => map.showStations(stations.map(({ id, lat, lon }, k) => ({ id, lat, lon, label: String(k + 1) })));

  return {
    node,
    /** null: nothing on the map any more. */
    follow(now) {
      node.hidden = !now;
      if (!now) {
        request.stop();
        route = null;
        return map.showStations([]);
      }
      if (now === route && state.get().filters === filters) return;
      route = now;
      stations = [];
      rows.show([]);
      again();
    },
    refresh: rows.update,
    focus: (id) => rows.focus(id),
  };
}
