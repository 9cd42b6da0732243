// The ops view: asks /metrics every two seconds and the status summary every four, remembers ten minutes, and shows it.

import { createChart } from "./chart.js";
import { el, mark, order, say } from "./dom.js";
import { drops } from "./drops.js";
import { NOTHING, clock, instant, percent, seconds, whole } from "./format.js";
import { MEASURES } from "./measures.js";
import { History } from "./metrics.js";
import { createTable } from "./tables.js";
import { LONGEST_S, tiles } from "./verdicts.js";

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
const points = []; // {at_s, at_ms, read: {measure: {series: value}}}
let silent_since_ms = null, summary = null, summary_problem = null;

// -- the charts -----------------------------------------------------------------------------------------------------------

const charts = MEASURES.map((about) => ({ about, chart: createChart(about) }));
$("charts").append(...charts.map(({ chart }) => chart.node));

function remember() {
  const read = Object.fromEntries(MEASURES.map((measure) => [measure.id, measure.read(history) ?? {}]));
  points.push({ at_s: now_s(), at_ms: Date.now(), read });
  while (points.length && now_s() - points[0].at_s > REMEMBERED_S) points.shift();
}

function showCharts() {
  for (const { about, chart } of charts) {
    chart.show(points.map(({ at_s, at_ms, read }) => ({ at_s, at_ms, values: read[about.id] })), now_s());
  }
}

// -- the numbers on top ---------------------------------------------------------------------------------------------------

const shown = new Map(); // tiles by id

function showTiles() {
  const unknown = silent_since_ms === null ? {} : { value: NOTHING, level: "none", note: "no answer" };
  const told = tiles(history).map((tile) => ({ ...tile, ...unknown }));
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
  columns: [
    ["reason", "Reason", "noted"], ["what", "What", "text"], ["minute", "Last minute", "number"], ["total", "Total", "number"],
  ],
});
const statusTable = createTable({
  caption: "EVSEs by status",
  columns: [["status", "Status", "text"], ["evses", "EVSEs", "number"], ["share", "Share", "number"]],
});
const partyTable = createTable({
  caption: "Stations and EVSEs by party",
  columns: [
    ["party", "Party", "text"], ["age", "Age", "number"], ["heartbeat", "Last heartbeat", "number"],
    ["stations", "Stations", "number"], ["evses", "EVSEs", "number"],
    ...STATUSES.map((status) => [status, inWords(status), "number"]),
  ],
  sort: { by: "age", down: true },
});
for (const [id, table] of [["drops", dropTable], ["statuses", statusTable], ["parties", partyTable]]) $(id).append(table.node);
$("filter").addEventListener("input", showSummary);

function showDrops() {
  const rows = drops(history, whole);
  dropTable.show(rows);
  $("drops").hidden = rows.length === 0;
  const since = "since the processes started";
  say($("drops-note"), rows.length ? `Totals are ${since}; nothing else was dropped.` : `Nothing was dropped ${since}.`);
}

function showSummary() {
  $("statuses").hidden = $("parties").hidden = summary === null;
  if (summary === null) {
    say($("parties-note"), summary_problem ? `The status summary does not answer: ${summary_problem}` : "Loading");
    return;
  }
  const { evses, parties } = summary, as_of_ms = Date.parse(summary.as_of);
  statusTable.show(STATUSES.map((status) => {
    const share = evses.total ? evses[status] / evses.total : 0;
    const cells = { status: inWords(status), evses: whole(evses[status]), share: percent(100 * share) };
    return { key: status, cells, shares: { share } };
  }));
  const wanted = $("filter").value.trim().toLowerCase();
  const found = parties.filter(({ id }) => id.toLowerCase().includes(wanted)).map((party) => partyRow(party, as_of_ms));
  found.sort((a, b) => b.values.age - a.values.age);
  partyTable.show(found.slice(0, PARTIES_SHOWN));
  const all = `${whole(parties.length)} ${parties.length === 1 ? "party" : "parties"}`;
  const count = wanted ? `${whole(found.length)} of ${all}` : all;
  const part = found.length > PARTIES_SHOWN ? `, the ${PARTIES_SHOWN} with the oldest heartbeats shown` : "";
  const old = summary_problem ? ` The status summary does not answer: ${summary_problem} These are of ${clock(as_of_ms)}.` : "";
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
    values: {
      party: id, stations, evses: evses.total, ...statuses(Number), heartbeat: at_ms ?? 0,
      age: age_s ?? (ttl_s === null ? -1 : Infinity), // who never had a live status is not old
    },
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
  mark(document.documentElement, "data-polls", String(polls)); // tests wait for it
  timer = setTimeout(poll, Math.max(0, POLL_MS - (performance.now() - began_ms)));
}

// Browsers let a hidden page wait for a minute at a time.
document.addEventListener("visibilitychange", () => !document.hidden && timer !== null && poll());
poll();
