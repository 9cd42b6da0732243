// A list of stations whose rows are kept by id: what changes is changed in place, so that focus and scrolling stay.

import { get, joined, newest } from "./api.js";
import { connectorName, inWordsOfCounts, kindOfCounts } from "./connectors.js";
import { el, say, showSign, sign } from "./dom.js";
import { filterQuery } from "./filters.js";

const MOST_PLUGS = 4; // named in a row
const CHANGING = "evses,open_now,changed_at,seen_at";

/**
 * @param {{t: Function, format: object, map: object, state: object, open: (station: object) => void}} page
 * @param {{aside: (station: object) => string[], isNumbered?: boolean}} of aside: what stands at the right, above one another
 */
export function createStationRows(page, { aside, isNumbered = false }) {
  const node = el("ol", { class: "stations", role: "list" });
  const request = newest();
  let rows = new Map(), shown = [];

  function show(stations) {
    request.stop();
    shown = stations;
    const focused = node.contains(document.activeElement) ? document.activeElement : null;
    const before = rows;
    rows = new Map(stations.map((station) => [station.id, before.get(station.id) ?? createRow(page, isNumbered)]));
    for (const [id, row] of before) if (!rows.has(id)) row.node.remove();
    let next = node.firstElementChild;
    stations.forEach((station, k) => {
      const row = rows.get(station.id);
      row.show(station, aside(station), k + 1);
      if (row.node === next) next = next.nextElementSibling;
      else node.insertBefore(row.node, next);
    });
    if (focused && focused !== document.activeElement) (focused.isConnected ? focused : node.querySelector("button"))?.focus({ preventScroll: true });
  }

  /** What changes of those that are listed; none leaves the list, so that nothing moves. */
  async function update() {
    if (!shown.length || document.hidden) return;
    const query = { ids: [...rows.keys()].join(","), limit: 100, fields: CHANGING };
    try {
      const answer = await request((signal) => get("/v1/stations", joined(filterQuery(counting(page.state.get().filters)), query), signal));
      if (!answer) return;
      const now = new Map(answer.stations.map((station) => [station.id, station]));
      show(shown.map((station) => ({ ...station, ...now.get(station.id) })));
    } catch {
      // what is shown stays; the status line tells of the connection
    }
  }

  return { node, show, update, focus: (id) => rows.get(id)?.focus() };
}

/** Those filters that say which EVSEs are counted, without those that leave stations out. */
const counting = ({ connector, min_power_kw, max_power_kw }) =>
  ({ connector, min_power_kw, max_power_kw, available: null, open_now: false, operator: [] });

function createRow({ t, format, map, state, open }, isNumbered) {
  let station;
  const name = el("button", { type: "button", class: "name", onclick: () => open(station) });
  const number = isNumbered && el("span", { class: "number" });
  const about = el("p", { class: "muted" });
  const mark = sign("unknown");
  const counts = el("span");
  const plugs = el("p", { class: "muted" });
  const right = el("div", { class: "aside" });
  const node = el("li", {}, number, el("div", { class: "main" }, name, about, el("p", { class: "counts" }, mark, counts), plugs), right);

  const point = (at) => () => state.get().station || map.mark("station", at && station);
  node.addEventListener("mouseenter", point(true));
  node.addEventListener("mouseleave", point(false));
  name.addEventListener("focus", point(true));
  name.addEventListener("blur", point(false));

  function show(now, aside, k) {
    station = now;
    const { evses, connectors = [], max_power_kw, open_now } = now;
    say(name, now.name || t("station.unnamed"));
    if (number) say(number, String(k));
    say(about, [now.operator, now.address].filter(Boolean).join(" · "));
    const kind = kindOfCounts(evses);
    showSign(mark, kind);
    counts.className = kind;
    say(counts, inWordsOfCounts(evses, t));
    const named = connectors.slice(0, MOST_PLUGS).map((one) => connectorName(one, t)).join(", ");
    const more = connectors.length > MOST_PLUGS ? ` +${connectors.length - MOST_PLUGS}` : "";
    say(plugs, [max_power_kw > 0 && format.power(max_power_kw), named + more, format.openNow(open_now)].filter(Boolean).join(" · "));
    while (right.children.length > aside.length) right.lastChild.remove();
    aside.forEach((text, j) => say(right.children[j] ?? right.appendChild(el("span")), text));
  }

  return { node, show, focus: () => name.focus() };
}
