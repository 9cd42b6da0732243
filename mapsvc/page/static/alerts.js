// "Tell me when one is free": by a notification, and in the page in any case. An alert is told once and is off then.

import { get, serverNow } from "./api.js";
import { counted, fits, inWordsOfCounts } from "./connectors.js";
import { button, el, fill } from "./dom.js";

export function createAlerts({ t, state, tell, watch }) {
  const wanted = new Map(); // id -> {name, filters}
  const asked = new Set(), again = new Set();
  const list = el("ul", { role: "list" });
  const title = el("h2");
  const node = el("section", { class: "alerts", hidden: true }, title, list);

  function changed() {
    watch().follow("alerts", [...wanted.keys()]);
    node.hidden = !wanted.size;
    title.textContent = t("alert.list");
    fill(list, [...wanted].map(([id, { name }]) =>
      el("li", {}, button(name, () => open(id), { class: "plain" }),
        button("×", () => off(id), { class: "plain", "aria-label": t("alert.stop", { name }) }))));
  }

  const open = (id) => state.set({ station: id }, { push: true });

  function off(id, isTold = true) {
    wanted.delete(id);
    changed();
    if (isTold) tell(t("alert.isOff"));
  }

  async function toggle(station) {
    const { id } = station;
    if (wanted.has(id)) return off(id);
    const name = station.name || t("station.unnamed");
    wanted.set(id, { name, filters: state.get().filters });
    changed();
    const isAllowed = await mayNotify();
    if (!wanted.has(id)) return;
    tell([t("alert.isOn", { name }), isAllowed ? "" : t("alert.here")].join(" ").trim());
    heard(id, station);
  }

  /** A change of a station: is one free of those that fit what was filtered for when it was asked for? */
  async function heard(id, summary) {
    if (!wanted.has(id) || !summary) return;
    if (asked.has(id)) return again.add(id);
    if (summary.evses && !Array.isArray(summary.evses) && !summary.evses.available) return;
    asked.add(id);
    try {
      const { evses } = await get(`/v1/stations/${id}`);
      const { name, filters } = wanted.get(id) ?? {};
      const counts = name ? counted(evses.filter((evse) => fits(evse, filters)), serverNow()) : { available: 0 };
      if (counts.available) fire(id, t("alert.free", { name, counts: inWordsOfCounts(counts, t) }));
    } catch {
      // the next change asks again
    } finally {
      asked.delete(id);
      if (again.delete(id)) heard(id, {});
    }
  }

  function fire(id, text) {
    off(id, false);
    tell(text, button(t("alert.show"), () => open(id)));
    try {
      const note = new Notification(text, { tag: id });
      note.onclick = () => (window.focus(), open(id), note.close());
    } catch {
      // some phones allow notifications to service workers alone: the page has said it
    }
  }

  return { node, toggle, heard, isOn: (id) => wanted.has(id), changed };
}

/** Asked for on the click that wants it, never before. */
async function mayNotify() {
  if (!("Notification" in window)) return false;
  if (Notification.permission === "default") await Notification.requestPermission().catch(() => null);
  return Notification.permission === "granted";
}
