// The panel: which of its views is shown, and what they have in common.

import { get, joined, newest, inWords } from "./api.js";
import { createAlerts } from "./alerts.js";
import { button, el, fill, icon } from "./dom.js";
import { createFilterForm } from "./filter-form.js";
import { filterQuery } from "./filters.js";
import { createJourney } from "./journey.js";
import { createNearby } from "./nearby-list.js";
import { createReach } from "./reach.js";
import { createSeen } from "./seen.js";
import { createSettings } from "./settings-form.js";
import { createStationCard } from "./station-card.js";
import { createStationRows } from "./station-rows.js";
import { createWatch } from "./watch.js";

const VIEWS = { nearby: createNearby, journey: createJourney, reach: createReach };
const TOLD_MS = 12_000; // a message stays so long
const CLOSE_ZOOM = 16; // from here stations a few metres apart are apart on the screen
const CLICKED_M = (zoom) => (zoom >= CLOSE_ZOOM ? 8 : 30);

/** @param {{root: HTMLElement, state: object, map: object, t: Function, format: object}} of see docs/map-page.md */
export function createPanel({ root, state, map, t, format }) {
  const status = el("p", { class: "unseen", role: "status" });
  const message = el("div", { class: "message", role: "status" });
  const content = el("div", { class: "content" });
  const lookUp = newest();
  let told = 0, views = {}, card = null, several = null, filterForm = null, tabs = null, settings = null, opener = null;

  const page = {
    state, map, t, format,
    seen: createSeen(),
    watch: null,
    alerts: null,
    /** For those who do not see the screen; the list itself shows it. */
    announce: (text) => (status.textContent = text),
    tell,
    geolocate,
    open(station) {
      opener = station.id;
      page.seen.add([station]);
      state.set({ station: station.id }, { push: true });
    },
  };
  page.watch = createWatch((id, summary, isFirst) => (card?.heard(id, summary, isFirst), page.alerts.heard(id, summary)));
  page.alerts = createAlerts({ t, state, tell, watch: () => page.watch });

  function tell(text, ...more) {
    window.clearTimeout(told);
    fill(message, el("span", {}, text), more, button("×", () => fill(message), { class: "plain", "aria-label": t("close") }));
    if (!more.length) told = window.setTimeout(() => fill(message), TOLD_MS);
  }

  /** Where one is, asked for only when one wants it; null: not to be had, which was told. */
  function geolocate() {
    return new Promise((resolve) => {
      const fail = (error) => (tell(t(error?.code === 1 ? "place.denied" : "place.unavailable")), resolve(null));
      if (!navigator.geolocation) return fail();
      navigator.geolocation.getCurrentPosition(
        ({ coords }) => resolve({ lat: coords.latitude, lon: coords.longitude, name: t("place.here") }),
        fail, { timeout: 10_000, maximumAge: 30_000 });
    });
  }

  // -- what is shown ------------------------------------------------------------------------------------------------

  function build() {
    card?.hide();
    for (const view of Object.values(views)) view.hide();
    views = Object.fromEntries(Object.entries(VIEWS).map(([name, create]) => [name, create(page)]));
    card = createStationCard(page);
    filterForm = createFilterForm(page);
    settings = createSettings(page);
    const cog = button("", () => {
      settings.hidden = !settings.hidden;
      cog.setAttribute("aria-expanded", String(!settings.hidden));
    }, { class: "cog", "aria-label": t("settings"), title: t("settings"), "aria-expanded": "false", "aria-controls": "settings", data: { focus: "settings" } });
    cog.append(icon("settings"));
    tabs = el("nav", { "aria-label": t("panel.views") },
      Object.keys(VIEWS).map((name) => button(t(`view.${name}`), () => choose(name), { data: { view: name } })), cog);
    root.setAttribute("aria-label", t("panel.label"));
    document.documentElement.lang = state.get().lang;
    document.title = t("page.title");
    page.alerts.changed();
    fill(root, status, tabs, settings, message, page.alerts.node, content);
    several = null;
    show();
  }

  function choose(view) {
    several = null;
    state.set({ view, station: null }, { push: true });
    show();
  }

  function current() {
    const { station, view } = state.get();
    return station ? card : several ?? views[view];
  }

  function show() {
    const { station, view } = state.get();
    for (const tab of tabs.querySelectorAll("[data-view]")) {
      if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    for (const [name, one] of Object.entries(views)) if (name !== view) one.hide();
    if (!station) card.hide();
    const now = current();
    filterForm.show();
    const wanted = now === card || now === several ? [now.node] : [filterForm.node, now.node];
    if (wanted.length !== content.children.length || wanted.some((node, k) => node !== content.children[k])) fill(content, wanted);
    now.show(station);
  }

  function changed(now, before) {
    if (now.lang !== before.lang || now.units !== before.units) return rebuild();
    const isOther = now.station !== before.station || now.view !== before.view;
    if (isOther) several = null;
    if (isOther) show();
    else filterForm.show();
    if (!isOther) current().changed(now, before);
    if (isOther) focus(now, before);
  }

  /** Who opens a station reads it; who comes back is where they were. */
  function focus(now, before) {
    root.scrollTop = 0;
    if (now.station) return card.focus();
    if (before.station && before.view === now.view && opener) views[now.view].focus(opener);
    else if (now.view !== before.view && !tabs.contains(document.activeElement)) content.querySelector("h2")?.focus({ preventScroll: true });
  }

  /** Another language or other units: everything anew, with the focus where it was. */
  function rebuild() {
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const isOpen = !settings.hidden;
    build();
    if (isOpen) tabs.querySelector(".cog").click();
    if (focused) root.querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  // -- clicks on the map ----------------------------------------------------------------------------------------------

  async function clicked([{ lat, lon }]) {
    const query = { lat, lon, radius_m: CLICKED_M(state.get().zoom), limit: 10 };
    try {
      const answer = await lookUp((signal) => get("/v1/nearby", joined(filterQuery(state.get().filters), query), signal));
      if (!answer) return;
      page.seen.add(answer.stations);
      if (answer.stations.length === 1) page.open(answer.stations[0]);
      else if (answer.stations.length) chooseOf(answer.stations);
      else tell(t("station.noneHere"));
    } catch (error) {
      tell(inWords(error, t));
    }
  }

  function chooseOf(stations) {
    const rows = createStationRows(page, { aside: ({ distance_m }) => [format.distance(distance_m)] });
    rows.show(stations);
    const title = el("h2", { tabIndex: -1 }, t("station.several"));
    const node = el("section", {}, button(t("back"), leave, { class: "plain back" }), title, rows.node);
    if (state.get().station) state.set({ station: null }, { push: true });
    several = { node, show() {}, changed() {}, refresh: rows.update };
    show();
    title.focus();
  }

  function leave() {
    several = null;
    show();
    content.querySelector("h2")?.focus();
  }

  // -- together -------------------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (state.get().station) card.back();
    else if (several) leave();
    else if (!settings.hidden) tabs.querySelector(".cog").click();
    else fill(message);
  });
  map.onStations(clicked);
  state.on(changed);
  build();

  return { refresh: () => current().refresh() };
}
