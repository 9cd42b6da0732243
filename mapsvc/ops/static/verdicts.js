// The numbers on top and how each does. The thresholds are those of deploy/prometheus/rules.yml, looked at over the last
// minute at once; the rules wait longer before they wake somebody.

import { percent, rate, seconds, whole } from "./format.js";
import { quantile } from "./metrics.js";

export const NOW_S = 10, MINUTE_S = 60;
const SHARDS = 16;
const DATA_OLD_S = 10, LAG_S = 1, BACKLOG_ROWS = 5000;
const DROPPED_SHARE = 0.02, LATE_SHARE = 0.2;
const SILENT_S = 600, RESTARTS_S = 900, RESTARTS = 2;
const READ_SLOW_S = 0.025, ACK_SLOW_S = 0.25, ENOUGH = 200; // requests in a minute, for a p99 that says something
const UNAVAILABLE_SHARE = 0.01, ROADS_AWAY_PER_S = 0.2;
const REFUSED_PER_S = 1, LIVE_DROPPED_PER_S = 0.1, LIVE_DROPPED_S = 600;
const WORKER_BYTES = 1.5e9;

const ROLES = ["relay", "ingest", "serve", "simulate"]; // those with metrics of their own
const UPDATES = "mapsvc_status_updates_total", HEARTBEATS = "mapsvc_heartbeats_total";
const REQUESTS = "mapsvc_request_seconds_count", BUCKETS = "mapsvc_request_seconds_bucket";
const TAKEN = new Set(["applied", "confirmed"]);
const OF_ROADS = new Set([
  "/v1/route", "/v1/along-route", "/v1/reachable", "/v1/tiles/roads.json", "/v1/tiles/roads/{z}/{x}/{y}.mvt",
]);
const SLOW = [["/v1/nearby", READ_SLOW_S], ["/v1/tiles/stations/{z}/{x}/{y}.mvt", READ_SLOW_S], ["/v1/status", ACK_SLOW_S]];
const OF_ADDRESSES = new Set(["rate", "connections", "connections_of_address"]);

export const LONGEST_S = RESTARTS_S;
export const isTaken = (outcome) => TAKEN.has(outcome);

/** [{id, title, value, level, note}]; level: ok, look, bad, or none: nothing is known. */
export const tiles = (h) =>
  [updates, requests, lag, oldest, backlog, stations, evses, subscribers, connections, processes].map((tile) => tile(h));

/** The first that holds of [holds, level, note], gravest first; otherwise all is well. */
const judge = (rules, note) => {
  const [, level, why] = rules.find(([holds]) => holds) ?? [true, "ok", note];
  return { level, note: why };
};

const workers = (h) => h.samples("mapsvc_replica_ready");
const no_workers = (h) => [workers(h).length === 0, "bad", "no API worker"];

function updates(h) {
  const now = h.rate(UPDATES, NOW_S);
  const all = h.increase(UPDATES, MINUTE_S);
  const shares = new Map([...h.increases(UPDATES, MINUTE_S, ({ outcome }) => (isTaken(outcome) ? undefined : outcome))]
    .map(([outcome, count]) => [outcome, all ? count / all : 0]));
  const late = shares.get("late") ?? 0;
  const dropped = [...shares.values()].reduce((sum, share) => sum + share, 0);
  const [worst, most] = [...shares].filter(([outcome]) => outcome !== "late").sort(([, a], [, b]) => b - a)[0] ?? ["", 0];
  const refused = (reason) => h.increase("mapsvc_refused_total", MINUTE_S, (labels) => labels.reason === reason) > 0;
  const reports = h.increase(UPDATES, SILENT_S, ({ outcome }) => isTaken(outcome)) + h.increase(HEARTBEATS, SILENT_S);
  return {
    id: "updates", title: "Updates/s", value: rate(now),
    ...judge([
      [h.samples("mapsvc_ingest_waiting_rows").length === 0, "bad", "no ingest process"],
      [refused("database"), "bad", "the database takes no writes"],
      [refused("queue_full"), "bad", "a queue is full"],
      [h.span_s(SILENT_S) > SILENT_S - MINUTE_S && reports === 0, "bad", "no report for 10 minutes"],
      [most > DROPPED_SHARE, "look", `${percent(100 * most)} ${worst.replace("_", " ")}`],
      [late > LATE_SHARE, "look", `${percent(100 * late)} late`],
      [h.increase("mapsvc_confirmations_dropped_total", MINUTE_S) > 0, "look", "confirmations dropped"],
    ], !all ? "none in the last minute" : dropped ? `${percent(100 * dropped)} dropped` : "none dropped"),
  };
}

function requests(h) {
  const failed = h.increase(REQUESTS, MINUTE_S, ({ status }) => status.startsWith("5") && status !== "503");
  const slow = SLOW.map(([route, limit_s]) => [route, limit_s, p99(h, route)]).find(([, limit_s, told_s]) => told_s > limit_s);
  const away = h.increase("mapsvc_roads_away_total", MINUTE_S, ({ reason }) => reason !== "no_roads") / MINUTE_S;
  return {
    id: "requests", title: "Requests/s", value: rate(h.rate(REQUESTS, NOW_S)),
    ...judge([
      no_workers(h),
      [failed > 0, "bad", `${whole(failed)} failed in a minute`],
      [unavailable(h) > UNAVAILABLE_SHARE, "bad", `${percent(100 * unavailable(h))} of a route 503`],
      [slow, "look", slow && `p99 ${seconds(slow[2])}: ${slow[0].split("/")[2]}`],
      [away > ROADS_AWAY_PER_S, "look", "roads give no answer"],
    ], "none failed"),
  };
}

/** Of a route in the last minute; null: too few requests to tell. */
function p99(h, route) {
  const of_route = h.increases(BUCKETS, MINUTE_S, (labels) => (labels.route === route ? labels.le : undefined));
  const buckets = [...of_route].map(([le, count]) => [le === "+Inf" ? Infinity : Number(le), count]);
  return of_route.get("+Inf") >= ENOUGH ? quantile(0.99, buckets) : null;
}

/** The greatest share of 503 that a route has. */
function unavailable(h) {
  const of = ({ route }) => (route !== "/readyz" && !OF_ROADS.has(route) ? route : undefined);
  const all = h.increases(REQUESTS, MINUTE_S, of);
  const refused = h.increases(REQUESTS, MINUTE_S, (labels) => (labels.status === "503" ? of(labels) : undefined));
  return Math.max(0, ...[...refused].map(([route, count]) => (count ? count / all.get(route) : 0)));
}

function lag(h) {
  const lag_s = h.max("mapsvc_replica_lag_seconds");
  const moves = h.increase("mapsvc_replica_applied_rows_total", MINUTE_S) > 0;
  return {
    id: "lag", title: "Lag", value: seconds(lag_s),
    ...judge([
      no_workers(h),
      [lag_s > LAG_S && moves, "look", "commit to shown, too long"],
      [h.increase("mapsvc_replica_gaps_total", MINUTE_S) > 0, "look", "gaps in the stream"],
    ], "from commit to shown"),
  };
}

function oldest(h) {
  const age_s = h.max("mapsvc_data_age_seconds");
  const epochs = new Set(h.samples("mapsvc_replica_epoch").map(({ value }) => value));
  return {
    id: "oldest", title: "Oldest data", value: seconds(age_s),
    ...judge([
      no_workers(h),
      [age_s > DATA_OLD_S, "bad", "nothing newer was heard"],
      [epochs.size > 1, "look", "workers follow different caches"],
    ], "of all shards"),
  };
}

function backlog(h) {
  const known = h.samples("mapsvc_relay_backlog_rows").length > 0;
  const rows = h.sum("mapsvc_relay_backlog_rows"), shards = h.sum("mapsvc_relay_active_shards");
  return {
    id: "backlog", title: "Relay backlog", value: whole(known ? rows : null),
    ...judge([
      [!known, "bad", "no relay process"],
      [shards < SHARDS, "bad", `${whole(shards)} of ${SHARDS} shards carried`],
      [rows > BACKLOG_ROWS, "look", "changes wait"],
      [h.increase("mapsvc_relay_rebuilds_total", MINUTE_S) > 0, "look", "the cache is built anew"],
    ], `${SHARDS} of ${SHARDS} shards carried`),
  };
}

function stations(h) {
  const all = workers(h).length, ready = h.sum("mapsvc_replica_ready");
  return {
    id: "stations", title: "Stations", value: whole(h.max("mapsvc_replica_stations")),
    ...judge([no_workers(h), [ready < all, "bad", `${ready} of ${all} workers ready`]], `${ready} of ${all} workers ready`),
  };
}

function evses(h) {
  const counts = h.samples("mapsvc_replica_evses").map(({ value }) => value);
  const apart = counts.length ? Math.max(...counts) - Math.min(...counts) : 0;
  return {
    id: "evses", title: "EVSEs", value: whole(h.max("mapsvc_replica_evses")),
    ...judge([no_workers(h)], apart ? `workers differ by ${whole(apart)}` : "the same in all workers"),
  };
}

function subscribers(h) {
  const known = workers(h).length > 0;
  const dropped = h.increase("mapsvc_live_dropped_total", MINUTE_S);
  const often = (h.rate("mapsvc_live_dropped_total", LIVE_DROPPED_S) ?? 0) > LIVE_DROPPED_PER_S;
  const messages = h.rate("mapsvc_live_messages_total", NOW_S);
  return {
    id: "subscribers", title: "Subscribers", value: whole(known ? h.sum("mapsvc_live_subscribers") : null),
    ...judge([
      no_workers(h),
      [dropped && often, "look", `${whole(dropped)} dropped in a minute`],
    ], `${rate(messages)} messages/s`),
  };
}

function connections(h) {
  const refused = h.rate("mapsvc_refused_total", MINUTE_S, ({ reason }) => OF_ADDRESSES.has(reason)) ?? 0;
  const turned = refused ? `${rate(refused)}/s turned away` : "none turned away";
  return {
    id: "connections", title: "Connections", value: whole(workers(h).length ? h.sum("mapsvc_connections") : null),
    ...judge([no_workers(h), [refused > REFUSED_PER_S, "look", turned]], turned),
  };
}

function processes(h) {
  const up = new Set(h.samples("mapsvc_resident_bytes").map(({ labels }) => labels.process));
  const roles = h.samples("mapsvc_up_child_restarts_total").map(({ labels }) => labels.role);
  const missing = roles.find((role) => ROLES.includes(role) && !up.has(role));
  const restarts = h.increases("mapsvc_up_child_restarts_total", RESTARTS_S, ({ role }) => role);
  const restarted = [...restarts].find(([, times]) => times > RESTARTS);
  const isLarge = ({ labels, value }) => /^serve-/.test(labels.process) && value > WORKER_BYTES;
  const large = h.samples("mapsvc_resident_bytes").find(isLarge);
  const roads = h.sum("mapsvc_roads_served") > 0;
  return {
    id: "processes", title: "Processes up", value: whole(up.size),
    ...judge([
      [missing, "bad", `no ${missing}`],
      [restarted, "look", restarted && `${restarted[0]} ended ${restarted[1]} times`],
      [large, "look", large && `${large.labels.process} holds much memory`],
      [h.increase("mapsvc_upkeep_failures_total", RESTARTS_S) > RESTARTS, "look", "upkeep fails"],
    ], roads ? "all roles, with roads" : "all roles"),
  };
}
