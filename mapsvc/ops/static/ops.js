// The ops view: asks /metrics every two seconds and the status summary every four, remembers ten minutes, and shows it.

import { createChart } from "./chart.js";
import { el, mark, order, say } from "./dom.js";
import { drops } from "./drops.js";
import { NOTHING, bytes, clock, instant, percent, rate, seconds, whole } from "./format.js";
import { History, quantile } from "./metrics.js";
import { createTable } from "./tables.js";
import { LONGEST_S, MINUTE_S, NOW_S, isTaken, tiles } from "./verdicts.js";

const POLL_MS = 2000, TIMEOUT_MS = 5000;
const REMEMBERED_S = 600;
const PARTIES_SHOWN = 200;
const WORDS = { ok: "OK", look: "Look", bad: "Bad", none: "No data" };
const STATUSES = ["AVAILABLE", "CHARGING", "RESERVED", "BLOCKED", "OUTOFORDER", "INOPERATIVE", "PLANNED", "UNKNOWN"];
const IN_WORDS = { OUTOFORDER: "Out of order" };
const inWords = (status) => IN_WORDS[status] ?? status[0] + status.slice(1).toLowerCase();

const $ = (id) => document.getElementById(id);
const now_s = () => performance.now() / 1000;

const history = new History(LONGEST_S);
const points = []; // {at_s, at_ms, charts: {id: {series: value}}}
let silent_since_ms = null, summary = null, summary_problem = null;

// -- the charts -----------------------------------------------------------------------------------------------------------

const ROUTES = { none: "no such route" };
const named = (route) => ROUTES[route] ?? route.replace(/^\/v1\//, "").replace("/{z}/{x}/{y}", "/…");
const perSecond = (sums, span_s) => (span_s > 0 ? Object.fromEntries([...sums].map(([word, sum]) => [word, sum / span_s])) : {});
const byProcess = (name) => Object.fromEntries(history.samples(name).map(({ labels, value }) => [labels.process, value]));

const CHARTS = [
  {
    id: "updates", title: "Updates/s", note: "What operators reported, over 10 s", form: rate, least: 1,
    series: ["applied", "confirmed", "dropped"],
    read: () => perSecond(new Map([["applied", 0], ["confirmed", 0], ["dropped", 0],
      ...history.increases("mapsvc_status_updates_total", NOW_S, ({ outcome }) => (isTaken(outcome) ? outcome : "dropped"))]), history.span_s(NOW_S)),
  },
  {
    id: "fresh", title: "Lag and age of the data", note: "The slowest worker's", form: seconds, log: true, least: 1,
    series: ["lag", "age"],
    read: () => ({ lag: history.max("mapsvc_replica_lag_seconds"), age: history.max("mapsvc_data_age_seconds") }),
  },
  {
    id: "cpu", title: "CPU", note: "By process, of one core, over 10 s", form: percent, least: 10,
    read: () => perSecond(new Map([...history.increases("mapsvc_cpu_seconds_total", NOW_S, ({ process }) => process)]
      .map(([process, used_s]) => [process, 100 * used_s])), history.span_s(NOW_S)),
  },
  {
    id: "requests", title: "Requests/s", note: "By route, the busiest seven, over 10 s", form: rate, least: 1, long: true,
    read: () => perSecond(history.increases("mapsvc_request_seconds_count", NOW_S, ({ route }) => named(route)), history.span_s(NOW_S)),
  },
  {
    id: "p99", title: "Time to answer, p99", note: "By route, the slowest seven, over a minute", form: seconds, log: true, least: 0.1, long: true,
    read: p99ByRoute,
  },
  { id: "memory", title: "Memory", note: "By process, resident", form: bytes, least: 1e8, read: () => byProcess("mapsvc_resident_bytes") },
];

function p99ByRoute() {
  const buckets = new Map();
  for (const [word, count] of history.increases("mapsvc_request_seconds_bucket", MINUTE_S, ({ route, le }) => `${le} ${named(route)}`)) {
    const [le, route] = [word.slice(0, word.indexOf(" ")), word.slice(word.indexOf(" ") + 1)];
    if (!buckets.has(route)) buckets.set(route, []);
    buckets.get(route).push([le === "+Inf" ? Infinity : Number(le), count]);
  }
  return Object.fromEntries([...buckets].map(([route, counts]) => [route, quantile(0.99, counts)]));
}

const charts = CHARTS.map((about) => ({ about, chart: createChart(about) }));
$("charts").append(...charts.map(({ chart }) => chart.node));

function remember() {
  points.push({ at_s: now_s(), at_ms: Date.now(), charts: Object.fromEntries(CHARTS.map(({ id, read }) => [id, read()])) });
  while (points.length && now_s() - points[0].at_s > REMEMBERED_S) points.shift();
}

function showCharts() {
  for (const { about, chart } of charts) chart.show(points.map(({ at_s, at_ms, charts }) => ({ at_s, at_ms, values: charts[about.id] })), now_s());
}

// -- the numbers on top ---------------------------------------------------------------------------------------------------

const shown = new Map(); // tiles by id

function showTiles() {
  const told = tiles(history).map((tile) => (silent_since_ms === null ? tile : { ...tile, value: NOTHING, level: "none", note: "no answer" }));
  for (const { id, title, value, level, note } of told) {
    if (!shown.has(id)) {
      shown.set(id, el("li", { id: `tile-${id}` }, el("h3", {}, title), el("p", { class: "value" }),
        el("p", { class: "level" }), el("p", { class: "note" })));
    }
    const node = shown.get(id);
    mark(node, "data-level", level);
    [value, WORDS[level], note].forEach((text, i) => say(node.children[i + 1], text));
  }
  order($("tiles"), told.map(({ id }) => shown.get(id)));
  showState(told);
}

/** The one line that is announced: it changes only with the state, never with the numbers. */
function showState(told) {
  const titles = (level) => told.filter((tile) => tile.level === level).map(({ title }) => title).join(", ");
  const [bad, look] = [titles("bad"), titles("look")];
  const [level, text] =
    silent_since_ms !== null ? ["bad", `/metrics has not answered since ${clock(silent_since_ms)}. Trying again every 2 s.`]
    : bad ? ["bad", `Bad: ${bad}${look && `. Look: ${look}`}`]
    : look ? ["look", `Look: ${look}`]
    : ["ok", "All well"];
  mark($("state"), "data-level", level);
  say($("state"), text);
}

// -- the tables -----------------------------------------------------------------------------------------------------------

const dropTable = createTable({
  caption: "What was dropped, and why",
  columns: [["reason", "Reason", "noted"], ["what", "What", "text"], ["minute", "Last minute", "number"], ["total", "Total", "number"]],
});
const statusTable = createTable({
  caption: "EVSEs by status",
  columns: [["status", "Status", "text"], ["evses", "EVSEs", "number"], ["share", "Share", "number"]],
});
const partyTable = createTable({
  caption: "Stations and EVSEs by party",
  columns: [["party", "Party", "text"], ["age", "Age", "number"], ["heartbeat", "Last heartbeat", "number"], ["stations", "Stations", "number"], ["evses", "EVSEs", "number"],
    ...STATUSES.map((status) => [status, inWords(status), "number"])],
  sort: { by: "age", down: true },
});
for (const [id, table, name] of [["drops", dropTable, "Drops by reason"], ["statuses", statusTable, "EVSEs by status"], ["parties", partyTable, "Parties"]]) {
  // Wide tables are scrolled sideways on a phone, with the keyboard as well.
  for (const [attribute, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", name]]) $(id).setAttribute(attribute, value);
  $(id).append(table.node);
}
$("filter").addEventListener("input", showSummary);

function showDrops() {
  const rows = drops(history, whole);
  dropTable.show(rows);
  $("drops").hidden = rows.length === 0;
  say($("drops-note"), rows.length ? "Since the processes started. Nothing else was dropped." : "Nothing was dropped since the processes started.");
}

function showSummary() {
  $("statuses").hidden = $("parties").hidden = summary === null;
  if (summary === null) {
    say($("parties-note"), summary_problem ? `The status summary does not answer: ${summary_problem}` : "Loading");
    return;
  }
  const { evses, parties, as_of } = summary;
  statusTable.show(STATUSES.map((status) => {
    const share = evses.total ? evses[status] / evses.total : 0;
    return { key: status, cells: { status: inWords(status), evses: whole(evses[status]), share: percent(100 * share) }, shares: { share } };
  }));
  const wanted = $("filter").value.trim().toLowerCase();
  const found = parties.filter(({ id }) => id.toLowerCase().includes(wanted)).map((party) => partyRow(party, Date.parse(as_of)));
  found.sort((a, b) => b.values.age - a.values.age);
  partyTable.show(found.slice(0, PARTIES_SHOWN));
  const count = wanted ? `${whole(found.length)} of ${whole(parties.length)} parties` : `${whole(parties.length)} ${parties.length === 1 ? "party" : "parties"}`;
  const part = found.length > PARTIES_SHOWN ? `, the ${PARTIES_SHOWN} with the oldest heartbeats shown` : "";
  const old = summary_problem ? ` The status summary does not answer: ${summary_problem} These are of ${clock(Date.parse(as_of))}.` : "";
  say($("parties-note"), `${count}${part}. A heartbeat says that all a party last reported is still so.${old}`);
}

function partyRow({ id, stations, evses, ttl_s, heartbeat_at }, now_ms) {
  const at_ms = heartbeat_at === null ? null : Date.parse(heartbeat_at);
  const age_s = at_ms === null ? null : Math.max(0, (now_ms - at_ms) / 1000);
  const statuses = (form) => Object.fromEntries(STATUSES.map((status) => [status, form(evses[status])]));
  return {
    key: id,
    look: ttl_s !== null && age_s > ttl_s ? "age" : "none",
    cells: {
      party: id, stations: whole(stations), evses: whole(evses.total), ...statuses(whole),
      heartbeat: at_ms === null ? (ttl_s === null ? "no live status" : "never") : instant(at_ms, now_ms), age: seconds(age_s),
    },
    // Who never had a live status is not old.
    values: { party: id, stations, evses: evses.total, ...statuses(Number), heartbeat: at_ms ?? 0, age: age_s ?? (ttl_s === null ? -1 : Infinity) },
  };
}

// -- asking ---------------------------------------------------------------------------------------------------------------

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  if (!response.ok) throw new Error((await response.json().catch(() => null))?.detail ?? `status ${response.status}`);
  return response;
}

async function askMetrics() {
  try {
    history.add(now_s(), await (await ask("/metrics")).text());
    silent_since_ms = null;
    remember();
    say($("looked"), `As of ${clock(Date.now())}`);
  } catch (error) {
    silent_since_ms ??= Date.now();
  }
  showTiles();
  showCharts();
  showDrops();
}

async function askSummary() {
  try {
    summary = await (await ask("/ops/summary.json")).json();
    summary_problem = null;
  } catch (error) {
    summary_problem = error.name === "Error" ? error.message : "No answer.";
  }
  showSummary();
}

let polls = 0, timer = null; // null: a poll is under way

async function poll() {
  clearTimeout(timer);
  timer = null;
  const began_ms = performance.now();
  await Promise.all([askMetrics(), polls++ % 2 ? null : askSummary()]);
  timer = setTimeout(poll, Math.max(0, POLL_MS - (performance.now() - began_ms)));
}

// Browsers let a hidden page wait for a minute at a time.
document.addEventListener("visibilitychange", () => !document.hidden && timer !== null && poll());
poll();
