// The EVSEs of a station: by kind of plug when they are many, and each with its status, told by the second.

import { connectorName, counted, currentStatus, fits, inWordsOfCounts, kindOf, kindOfCounts } from "./connectors.js";
import { el, fill, say, showSign, sign } from "./dom.js";

const FEW = 8; // so many are shown one by one, more fold away behind their kinds

export function createEvseList({ t, format }) {
  const kinds = el("ul", { class: "evses", role: "list" });
  const summary = el("summary");
  const list = el("ul", { class: "evses", role: "list" });
  const details = el("details", {}, summary, list);
  const node = el("div", {}, kinds, details);
  let rows = new Map(), groups = [], all = [];

  function show(evses, filters) {
    all = evses.filter(({ status }) => status !== "REMOVED");
    const before = rows;
    rows = new Map(all.map((evse) => [evse.uid, before.get(evse.uid) ?? createRow(t, format)]));
    for (const [uid, row] of before) if (!rows.has(uid)) row.node.remove();
    all.forEach((evse, k) => {
      const row = rows.get(evse.uid);
      row.show(evse, nameOf(evse, k), fits(evse, filters));
      if (list.children[k] !== row.node) list.insertBefore(row.node, list.children[k] ?? null);
    });
    say(summary, t("station.all", { n: all.length }));
    summary.hidden = all.length <= FEW;
    if (all.length <= FEW) details.open = true;
    showKinds(all.length > FEW ? byKind(all) : []);
  }

  function showKinds(now) {
    if (now.length !== groups.length) fill(kinds, now.map(() => el("li", {}, sign("unknown"), el("div", {}, el("p"), el("p", { class: "status" })))));
    groups = now;
  }

  const words = (evse) => evse.connectors.map((one) => plugWords(one, t, format)).join(", ");
  function byKind(evses) {
    const found = new Map();
    for (const evse of evses) found.set(words(evse), [...(found.get(words(evse)) ?? []), evse]);
    return [...found].sort(([, a], [, b]) => powerOf(b[0]) - powerOf(a[0]));
  }

  return {
    node,
    show,
    clear: () => (rows = new Map(), groups = [], fill(list), fill(kinds), (details.open = false)),
    tick(now_ms) {
      for (const row of rows.values()) row.tick(now_ms);
      groups.forEach(([words, evses], k) => {
        const counts = counted(evses, now_ms);
        const [mark, text] = kinds.children[k].children;
        showSign(mark, kindOfCounts(counts));
        say(text.firstChild, words);
        say(text.lastChild, inWordsOfCounts(counts, t));
        text.lastChild.className = `status ${kindOfCounts(counts)}`;
      });
    },
  };
}

function createRow(t, format) {
  let evse;
  const mark = sign("unknown");
  const name = el("p");
  const status = el("p", { class: "status" });
  const node = el("li", {}, mark, el("div", {}, name, status));
  return {
    node,
    show(now, label, isFitting) {
      evse = now;
      node.classList.toggle("faint", !isFitting);
      fill(name, el("strong", {}, label), " ", evse.connectors.map((one) => plugWords(one, t, format)).join(", "));
    },
    tick(now_ms) {
      const now = currentStatus(evse, now_ms);
      showSign(mark, kindOf(now));
      status.className = `status ${kindOf(now)}`;
      say(status, statusWords(evse, now, now_ms, t, format));
    },
  };
}

/** "free, 4 seconds ago"; "unknown; last reported free 20 minutes ago". */
export function statusWords({ reported_status, changed_at, seen_at }, now, now_ms, t, format) {
  const status = t(`status.${now}`);
  if (now === "UNKNOWN" && reported_status !== "UNKNOWN" && seen_at)
    return t("status.expired", { status: t(`status.${reported_status}`), ago: format.ago(seen_at, now_ms) });
  return changed_at ? t("status.since", { status, ago: format.ago(changed_at, now_ms) }) : status;
}

function plugWords({ standard, power_type, power_kw }, t, format) {
  const current = power_type?.slice(0, 2); // AC_1_PHASE, AC_3_PHASE, DC
  return [connectorName(standard, t), current, format.power(power_kw)].filter(Boolean).join("\u00a0");
}

const powerOf = ({ connectors }) => Math.max(0, ...connectors.map(({ power_kw }) => power_kw ?? 0));

/** What is written on it, else the end of its id, else its place in the list. */
function nameOf({ physical_reference, evse_id }, k) {
  return physical_reference || /[^*]+(\*[^*]+)?$/.exec(evse_id ?? "")?.[0] || `${k + 1}`;
}
