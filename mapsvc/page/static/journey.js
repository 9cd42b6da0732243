// From one place to another: ways, directions, and (along-way.js) where to charge.

import { inWords, newest, post } from "./api.js";
import { createAlongWay } from "./along-way.js";
import { button, chip, el, fill, icon, newId, say } from "./dom.js";
import { createPlaceField, fillList, placeList } from "./place-field.js";
import { boxOf, lineOf } from "./polyline.js";

const LANGUAGE = { en: "en-GB", de: "de-DE", fr: "fr-FR" };
const ALTERNATES = 2;
const FEATURES = ["has_motorways", "has_tolls", "has_ferries"];

export function createJourney(page) {
  const { state, map, t, format, announce, seen } = page;
  const request = newest();
  const avoid = new Set();
  let routes = [], chosen = 0, asked = "", isShown = false;

  const list = placeList();
  const from = createPlaceField(page, { name: "from", list });
  const swap = el("button", { type: "button", class: "swap", "aria-label": t("journey.swap"), title: t("journey.swap"), onclick: turnAround }, icon("swap"));
  const to = createPlaceField(page, { name: "to", list, more: swap });
  const note = el("div", { class: "notes" });
  const ways = el("div");
  const steps = el("ol", { class: "steps" });
  const stepsTitle = el("summary");
  const directions = el("details", { hidden: true }, stepsTitle, steps);
  const along = createAlongWay(page);
  const node = el("section", { "aria-labelledby": "journey-title" },
    el("h2", { id: "journey-title", tabIndex: -1 }, t("journey.title")),
    list, from.node, to.node,
    el("fieldset", { class: "choice" }, el("legend", {}, t("journey.avoid")), el("div", { class: "chips" },
      ["tolls", "ferries", "motorways"].map((one) => chip("checkbox", t(`journey.${one}`), false, (on) => (on ? avoid.add(one) : avoid.delete(one), ask()))))),
    note, ways, directions, along.node);

  function turnAround() {
    const { from, to } = state.get();
    state.set({ from: to, to: from }, { push: true });
  }

  function wanted() {
    const { from, to, lang } = state.get();
    if (!from || !to) return null;
    const waypoints = [from, to].map(({ lat, lon }) => ({ lat, lon }));
    return { waypoints, avoid: [...avoid].sort(), language: LANGUAGE[lang], alternates: ALTERNATES };
  }

  async function ask() {
    const body = wanted();
    const key = JSON.stringify(body);
    if (key === asked) return draw(false);
    asked = key;
    routes = [];
    draw(false);
    for (const field of [from, to]) field.tellFault("");
    if (!body) return request.stop(), fill(note, el("p", { class: "muted" }, t("journey.needBoth")));
    fill(note, el("p", { class: "muted" }, t("loading")));
    try {
      const answer = await request((signal) => post("/v1/route", body, "", signal));
      if (!answer) return;
      routes = answer.routes.map((route) => ({ ...route, line: lineOf(route.geometry) }));
      fill(note);
      chosen = 0;
      if (isShown) draw(true);
      announce(routeWords(routes[0]));
    } catch (error) {
      asked = "";
      tellProblem(error);
    }
  }

  /** What was wrong with a place is told at its field. */
  function tellProblem(error) {
    fill(note);
    for (const { pointer, allowed = "" } of error.errors ?? []) {
      const field = { "/waypoints/0": from, "/waypoints/1": to }[pointer];
      if (field) field.tellFault(t(allowed.startsWith("within") ? "place.noRoad" : "place.noWay"));
      else if (pointer === "/waypoints") to.tellFault(t("journey.tooFar"));
      else continue;
      return;
    }
    fill(note, el("p", { class: "problem" }, inWords(error, t)), button(t("retry"), ask));
  }

  const routeWords = (route) =>
    [format.duration(route.duration_s), format.distance(route.distance_m), ...FEATURES.filter((one) => route[one]).map((one) => t(`journey.${one}`))].join(", ");

  function draw(isNew) {
    const route = routes[chosen];
    map.showRoute(route?.line ?? null);
    if (route && isNew) map.fit(boxOf(routes.flatMap(({ line }) => line.coordinates)));
    directions.hidden = !route;
    along.follow(route ?? null);
    if (!route) return fill(ways);
    if (isNew) showWays();
    const maneuvers = route.legs.flatMap((leg) => leg.maneuvers);
    say(stepsTitle, t("journey.directions", { n: maneuvers.length }));
    fill(steps, maneuvers.map(({ instruction, distance_m }) =>
      el("li", {}, el("span", {}, instruction), distance_m >= 5 ? el("span", { class: "muted" }, format.distance(distance_m)) : null)));
  }

  function showWays() {
    const name = newId("ways");
    fill(ways, el("fieldset", { class: "choice ways" }, el("legend", {}, t("journey.routes")), routes.map((route, k) => {
      const pick = () => ((chosen = k), draw(false));
      return el("label", { class: "way" }, el("input", { type: "radio", name, checked: k === chosen, onchange: pick }),
        el("strong", {}, format.duration(route.duration_s)), el("span", {}, format.distance(route.distance_m)),
        el("span", { class: "muted" }, FEATURES.filter((one) => route[one]).map((one) => t(`journey.${one}`)).join(", ")));
    })));
  }

  return {
    node,
    show() {
      isShown = true;
      fillList(list, seen);
      from.show();
      to.show();
      ask();
    },
    hide() {
      if (!isShown) return;
      isShown = false;
      from.hide();
      to.hide();
      map.showRoute(null);
      along.follow(null);
    },
    changed(now, before) {
      if (now.from !== before.from || now.to !== before.to) this.show();
      if (now.filters !== before.filters) along.follow(routes[chosen] ?? null);
    },
    refresh: () => along.refresh(),
    focus: (id) => along.focus(id),
  };
}
