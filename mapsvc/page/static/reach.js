// How far one gets, in some minutes or on what the battery holds; and the stations inside.

import { get, inWords, joined, newest } from "./api.js";
import { attribute, button, choice, el, fill, newId, say } from "./dom.js";
import { filterQuery } from "./filters.js";
import { createPlaceField, fillList, placeList } from "./place-field.js";
import { boxOf } from "./polyline.js";
import { createStationRows } from "./station-rows.js";

const LIMIT = 20;
/** As the API takes them, and what the form begins with. */
const NUMBERS = {
  minutes: [1, 120, 20], battery_kwh: [1, 1000, 60], soc: [1, 100, 50], consumption_kwh_100km: [5, 200, 18],
};
const LABELS = { minutes: "reach.minutes", battery_kwh: "reach.kwh", soc: "reach.soc", consumption_kwh_100km: "reach.consumption" };
const KINDS = { time: ["minutes"], battery: ["battery_kwh", "soc", "consumption_kwh_100km"] };

export function createReach(page) {
  const { state, map, t, format, announce, seen } = page;
  const request = newest();
  let kind = state.get().reach && !("minutes" in state.get().reach) ? "battery" : "time";
  let answer = null, asked = "", isShown = false;

  const list = placeList();
  const from = createPlaceField(page, { name: "from", list });
  const inputs = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, createNumber(t, name)]));
  const groups = Object.fromEntries(Object.entries(KINDS).map(([name, of]) => [name, el("div", { class: "row" }, of.map((one) => inputs[one].node))]));
  const kinds = choice(t("reach.by"), [["time", t("reach.time")], ["battery", t("reach.battery")]], kind, (now) => ((kind = now), showKind()));
  const noStart = el("p", { class: "muted" }, t("reach.noStart"));
  const notes = el("div", { class: "notes" });
  const rows = createStationRows(page, { aside: () => [] });
  const nearest = el("h3", { hidden: true }, t("reach.nearest"));
  const node = el("section", { "aria-labelledby": "reach-title" },
    el("h2", { id: "reach-title", tabIndex: -1 }, t("reach.title")),
    el("form", { noValidate: true, onsubmit: submit }, list, from.node, noStart, kinds,
      groups.time, groups.battery, el("button", { type: "submit", class: "primary" }, t("reach.show"))),
    notes, nearest, rows.node);

  const showKind = () => Object.entries(groups).forEach(([name, group]) => (group.hidden = name !== kind));

  function submit(event) {
    event.preventDefault();
    const entered = KINDS[kind].map((name) => [name, inputs[name].read()]);
    const wrong = entered.find(([, value]) => value === null);
    if (wrong) return inputs[wrong[0]].focus();
    asked = ""; // who asks again wants it anew
    state.set({ reach: Object.fromEntries(entered), from: state.get().from ?? { ...map.centre(), name: t("place.centre") } }, { push: true });
  }

  async function ask() {
    const { reach, from: start, filters } = state.get();
    const key = JSON.stringify([reach, start, filters]);
    if (key === asked) return draw();
    asked = key;
    answer = null;
    noStart.hidden = Boolean(start);
    draw();
    from.tellFault("");
    if (!reach || !start) return request.stop(), fill(notes);
    fill(notes, el("p", { class: "muted" }, t("loading")));
    try {
      const query = { lat: start.lat, lon: start.lon, ...reach, stations: "true", limit: LIMIT };
      const told = await request((signal) => get("/v1/reachable", joined(filterQuery(filters), query), signal));
      if (!told) return;
      answer = told;
      seen.add(answer.stations);
      draw();
      if (isShown) map.fit(boxOf(answer.geometry.coordinates));
      announce(t("reach.inside", { n: answer.stations_inside }));
    } catch (error) {
      asked = "";
      if (error.status === 422) fill(notes), from.tellFault(t("place.noRoad"));
      else fill(notes, el("p", { class: "problem" }, inWords(error, t)), button(t("retry"), ask));
    }
  }

  function draw() {
    if (!isShown) return;
    map.showArea(answer?.geometry ?? null);
    nearest.hidden = !answer?.stations.length;
    rows.show(answer?.stations ?? []);
    if (!answer) return;
    const { kilometres } = answer.properties;
    const isBattery = "battery_kwh" in answer.properties;
    fill(notes,
      el("p", {}, el("strong", {}, t("reach.inside", { n: answer.stations_inside }))),
      answer.excluded_unknown_hours > 0 && el("p", {}, t("nearby.unknownHours", { n: answer.excluded_unknown_hours })),
      el("p", { class: "muted" }, isBattery ? t("reach.estimateBattery", { distance: format.distance(1000 * (kilometres ?? rangeKm(answer.properties))) }) : t("reach.estimate")));
  }

  return {
    node,
    show() {
      isShown = true;
      fillList(list, seen);
      from.show();
      for (const [name, value] of Object.entries(state.get().reach ?? {})) inputs[name].write(value);
      showKind();
      ask();
    },
    hide() {
      if (!isShown) return;
      isShown = false;
      from.hide();
      map.showArea(null);
    },
    changed(now, before) {
      if (now.from !== before.from) from.show();
      if (now.from !== before.from || now.reach !== before.reach || now.filters !== before.filters) ask();
    },
    refresh: rows.update,
    focus: (id) => rows.focus(id),
  };
}

const rangeKm = ({ battery_kwh, soc, consumption_kwh_100km }) => (battery_kwh * soc) / consumption_kwh_100km;

function createNumber(t, name) {
  const [id, faultId] = [newId("number"), newId("fault")];
  const [low, high, start] = NUMBERS[name];
  const input = el("input", { id, type: "number", inputMode: "decimal", min: low, max: high, step: "any", value: start, "aria-describedby": faultId });
  const fault = el("p", { id: faultId, class: "problem" });
  return {
    node: el("div", { class: "field" }, el("label", { for: id }, t(LABELS[name])), input, fault),
    write: (value) => (input.value = value),
    /** null, and told why, if it is out of range. */
    read() {
      const isRight = input.value !== "" && input.valueAsNumber >= low && input.valueAsNumber <= high;
      say(fault, isRight ? "" : t("reach.number", { low, high }));
      attribute(input, "aria-invalid", isRight ? null : "true");
      return isRight ? input.valueAsNumber : null;
    },
    focus: () => input.focus(),
  };
}
