// The stations about the map's centre, or about one's own position.

import { get, inWords, joined, newest } from "./api.js";
import { button, el, fill, select } from "./dom.js";
import { filterQuery } from "./filters.js";
import { createStationRows } from "./station-rows.js";

const LIMIT = 20;
const RADIUS_M = { distance: 200_000, drive_time: 50_000 };
const DEBOUNCE_MS = 250;
const DRIVE_TIMES_MS = 30_000; // so often drive times are asked for anew; statuses with each refresh

export function createNearby(page) {
  const { state, map, t, format, announce, seen, geolocate } = page;
  const request = newest();
  let about = null; // null: the map's centre
  let stations = [], asked_ms = 0, timer = 0;

  const rows = createStationRows(page, { aside });
  const notes = el("div", { class: "notes" });
  const options = el("div", { class: "row" });
  const node = el("section", { "aria-labelledby": "nearby-title" },
    el("h2", { id: "nearby-title", tabIndex: -1 }, t("nearby.title")), options, notes, rows.node);
  showOptions();

  function showOptions() {
    fill(options,
      select(t("nearby.around"), [["centre", t("nearby.centre")], ["here", t("nearby.here")]], about ? "here" : "centre", turn, { data: { focus: "around" } }),
      select(t("nearby.sort"), ["distance", "drive_time"].map((one) => [one, t(`sort.${one}`)]), state.get().sort,
        (sort) => state.set({ sort }), { data: { focus: "sort" } }));
  }

  async function turn(to) {
    about = null;
    if (to === "here") {
      about = await geolocate();
      if (about) map.flyTo(about, Math.max(state.get().zoom, 13));
      else options.querySelector("select").value = "centre";
    }
    map.mark("here", about);
    ask();
  }

  function aside({ drive_time_s, drive_distance_m, distance_m }) {
    if (Number.isFinite(drive_time_s)) return [format.duration(drive_time_s), format.distance(drive_distance_m)];
    return [format.distance(distance_m), ...(state.get().sort === "drive_time" ? [t("nearby.airLine")] : [])];
  }

  async function ask({ isQuiet = false } = {}) {
    const { sort, filters } = state.get();
    const { lat, lon } = about ?? map.centre();
    const query = { lat: lat.toFixed(6), lon: lon.toFixed(6), radius_m: RADIUS_M[sort], limit: LIMIT, sort };
    asked_ms = Date.now();
    if (!stations.length) fill(notes, el("p", { class: "muted" }, t("loading")));
    try {
      const answer = await request((signal) => get("/v1/nearby", joined(filterQuery(filters), query), signal));
      if (!answer) return;
      stations = answer.stations;
      seen.add(stations);
      rows.show(stations);
      showNotes(answer, sort);
      if (!isQuiet) announce(t("nearby.found", { n: stations.length }));
    } catch (error) {
      if (!isQuiet || !stations.length) fill(notes, el("p", { class: "problem" }, inWords(error, t)), button(t("retry"), () => ask()));
    }
  }

  function showNotes({ degraded, degraded_reason, excluded_unknown_hours: unknown, unreachable }, sort) {
    const notes_ = [
      degraded && t("nearby.byAirLine", { reason: t(`degraded.${degraded_reason}`) }),
      !stations.length && t("nearby.none", { distance: format.distance(RADIUS_M[sort]) }),
      unknown > 0 && t("nearby.unknownHours", { n: unknown }),
      unreachable > 0 && t("nearby.unreachable", { n: unreachable }),
    ].filter(Boolean);
    if (notes_.join() !== [...notes.children].map((one) => one.textContent).join()) fill(notes, notes_.map((text) => el("p", {}, text)));
  }

  function later() {
    window.clearTimeout(timer);
    timer = window.setTimeout(ask, DEBOUNCE_MS);
  }

  return {
    node,
    show() {
      ask({ isQuiet: stations.length > 0 });
    },
    hide() {
      window.clearTimeout(timer);
    },
    changed(now, before) {
      if (now.sort !== before.sort) showOptions();
      const isMoved = !about && (now.lat !== before.lat || now.lon !== before.lon);
      if (isMoved || now.sort !== before.sort || now.filters !== before.filters) later();
    },
    refresh() {
      if (document.hidden) return;
      if (state.get().sort === "distance" || Date.now() - asked_ms > DRIVE_TIMES_MS) ask({ isQuiet: true });
      else rows.update();
    },
    focus: (id) => rows.focus(id),
  };
}
