// One station: what it is, what is free there and since when, and what one can do about it.

import { Problem, get, inWords, newest, serverNow } from "./api.js";
import { counted, fits, inWordsOfCounts, kindOfCounts } from "./connectors.js";
import { button, el, fill, say, showSign, sign } from "./dom.js";
import { createEvseList } from "./evse-list.js";
import { filterCount } from "./filters.js";
import { has } from "./strings.js";

const TICK_MS = 1000;
const CONFIRMED_MS = 60_000; // a status that is only confirmed is no event: asked for so often
const GATHER_MS = 300; // changes that come together are asked for once

export function createStationCard(page) {
  const { state, map, t, format, alerts, seen, tell, geolocate } = page;
  const request = newest();
  let id = null, details = null, asked_ms = 0, timer = 0, ticking = 0;

  const heading = el("h2", { id: "card-title", tabIndex: -1 });
  const mark = sign("unknown");
  const counts = el("span");
  const chosen = el("p", { class: "muted" });
  const problem = el("div");
  const facts = el("dl", { class: "facts" });
  const evses = createEvseList(page);
  const alert = button("", () => (alerts.toggle(details), showAlert()), { data: { focus: "alert" } });
  const share = el("div");
  const actions = el("div", { class: "actions" },
    button(t("station.routeHere"), async () => route(await geolocate()), { class: "primary", title: t("place.here") }),
    button(t("station.routeCentre"), () => route({ ...map.centre(), name: t("place.centre") })),
    alert,
    button(t("station.share"), copy));
  const body = el("div", {},
    el("p", { class: "counts big" }, mark, counts), chosen, actions, share,
    el("h3", {}, t("station.chargers")), evses.node,
    el("h3", {}, t("station.about")), facts);
  const node = el("section", { class: "card", "aria-labelledby": "card-title" },
    button(t("back"), back, { class: "plain back" }), heading, problem, body);

  function back() {
    state.set({ station: null }, { push: true });
  }

  function route(from) {
    if (!from || !details) return;
    const to = { lat: details.lat, lon: details.lon, name: details.name || t("station.unnamed") };
    state.set({ view: "journey", station: null, from, to }, { push: true });
  }

  async function copy() {
    const url = window.location.href;
    try {
      await navigator.clipboard.writeText(url);
      tell(t("station.copied"));
    } catch {
      const field = el("input", { readOnly: true, value: url, "aria-label": t("station.copyThis") });
      fill(share, el("p", {}, t("station.copyThis")), field);
      field.focus();
      field.select();
    }
  }

  async function ask() {
    const wanted = id;
    window.clearTimeout(timer);
    timer = 0;
    asked_ms = Date.now();
    try {
      const answer = await request((signal) => get(`/v1/stations/${wanted}`, {}, signal));
      if (!answer || wanted !== id) return;
      const isFirst = !details;
      details = answer;
      fill(problem);
      body.hidden = false;
      if (isFirst) arrived();
      showDetails();
    } catch (error) {
      if (wanted !== id || (details && !(error instanceof Problem && error.status === 404))) return;
      fill(problem, el("p", { class: "problem" }, error.status === 404 ? t("station.gone") : inWords(error, t)), error.status !== 404 && button(t("retry"), ask));
      body.hidden = true;
      if (error.status === 404) say(heading, t("station.unnamed"));
    }
  }

  function arrived() {
    const at = { lat: details.lat, lon: details.lon };
    map.mark("station", at);
    seen.open({ ...details, address: details.address ?? null });
    document.title = `${details.name || t("station.unnamed")} – ${t("page.title")}`;
    if (!isWithin(map.bounds(), at)) map.flyTo(at, state.get().zoom);
  }

  function showDetails() {
    say(heading, details.name || t("station.unnamed"));
    const { lat, lon } = details;
    const source = has(`source.${details.source}`) ? t(`source.${details.source}`) : details.source;
    const last = lastSeen(details);
    fill(facts, Object.entries({
      "station.operator": [details.operator, details.suboperator].filter(Boolean).join(" / "),
      "station.address": [details.address, [details.postal_code, details.city].filter(Boolean).join(" ")].filter(Boolean).join(", ") || `${lat}, ${lon}`,
      "station.hours": format.hours(details, serverNow()),
      "station.price": format.price(details),
      "station.access": details.access_text,
      "station.phone": details.operator_phone && el("a", { href: `tel:${details.operator_phone.replace(/[^+\d]/g, "")}` }, details.operator_phone),
      "station.source": source,
      "station.lastReported": last ? el("time", { dateTime: last, data: { since: last } }) : t("station.never"),
    }).flatMap(([key, value]) => (value ? [el("dt", {}, t(key)), el("dd", {}, value)] : [])));
    if (details.charging_when_closed && !details.opening_times?.twentyfourseven) facts.append(el("dd", {}, t("hours.whenClosed")));
    evses.show(details.evses, state.get().filters);
    tick();
  }

  /** All that depends on the time alone. */
  function tick() {
    if (!details || document.hidden) return;
    const now_ms = serverNow();
    const { filters } = state.get();
    const fitting = details.evses.filter((evse) => fits(evse, filters));
    const now = counted(fitting, now_ms);
    const kind = kindOfCounts(now);
    showSign(mark, kind);
    counts.className = kind;
    say(counts, now.total || !details.evses.length ? inWordsOfCounts(now, t) : t("counts.none"));
    say(chosen, now.total && fitting.length < details.evses.length && filterCount(filters) ? t("counts.chosen") : "");
    for (const time of facts.querySelectorAll("[data-since]")) say(time, format.ago(time.dataset.since, now_ms));
    evses.tick(now_ms);
    showAlert();
    if (Date.now() - asked_ms > CONFIRMED_MS) ask();
  }

  function showAlert() {
    const isOn = alerts.isOn(id);
    say(alert, t(isOn ? "alert.off" : "alert.on"));
    alert.setAttribute("aria-pressed", String(isOn));
  }

  return {
    node,
    show(now) {
      if (now !== id) {
        id = now;
        details = null;
        body.hidden = true;
        fill(problem, el("p", { class: "muted" }, t("loading")));
        fill(share);
        evses.clear();
        say(heading, seen.find(id)?.name || t("station.unnamed"));
        ask();
      }
      page.watch.follow("card", [id]);
      window.clearInterval(ticking);
      ticking = window.setInterval(tick, TICK_MS);
    },
    hide() {
      if (!id) return;
      id = details = null;
      request.stop();
      window.clearInterval(ticking);
      window.clearTimeout(timer);
      page.watch.follow("card", []);
      map.mark("station", null);
      document.title = t("page.title");
    },
    changed: (now, before) => details && now.filters !== before.filters && showDetails(),
    /** What watch.js heard. */
    heard(about, summary, isFirst) {
      if (about !== id || !details) return;
      if (isFirst && summary?.changed_at && details.evses.some(({ changed_at }) => changed_at === summary.changed_at)) return;
      timer ||= window.setTimeout(ask, GATHER_MS);
    },
    refresh() {},
    focus: () => heading.focus({ preventScroll: true }),
    back,
  };
}

/** A box whose west > east crosses the antimeridian. */
const isWithin = ([west, south, east, north], { lat, lon }) =>
  lat >= south && lat <= north && (west <= east ? lon >= west && lon <= east : lon >= west || lon <= east);

const lastSeen = ({ evses }) => evses.map(({ seen_at }) => seen_at).filter(Boolean).sort().at(-1) ?? null;
