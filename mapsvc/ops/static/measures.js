// What the charts show: of each, how it is read from the metrics when they were asked for once more.

import { bytes, percent, rate, seconds } from "./format.js";
import { quantile } from "./metrics.js";
import { MINUTE_S, NOW_S, isTaken } from "./verdicts.js";

const ROUTES = { none: "no such route" };
const named = (route) => ROUTES[route] ?? route.replace(/^\/v1\//, "").replace("/{z}/{x}/{y}", "/…");

/** Charts (see createChart) in their order, with `read(history)`: {series: value}. */
export const MEASURES = [
  {
    id: "updates", title: "Updates/s", note: "What operators reported, over 10 s", form: rate, least: 1,
    series: ["applied", "confirmed", "dropped"],
    read: (h) => {
      const outcomes = perSecond(h, "mapsvc_status_updates_total", ({ outcome }) => (isTaken(outcome) ? outcome : "dropped"));
      return outcomes && { applied: 0, confirmed: 0, dropped: 0, ...outcomes };
    },
  },
  {
    id: "fresh", title: "Lag and age of the data", note: "The slowest worker's", form: seconds, log: true, least: 1,
    series: ["lag", "age"],
    read: (h) => ({ lag: h.max("mapsvc_replica_lag_seconds"), age: h.max("mapsvc_data_age_seconds") }),
  },
  {
    id: "cpu", title: "CPU", note: "By process, of one core, over 10 s", form: percent, least: 10,
    read: (h) => perSecond(h, "mapsvc_cpu_seconds_total", ({ process }) => process, 100),
  },
  {
    id: "requests", title: "Requests/s", note: "By route, the busiest seven, over 10 s", form: rate, least: 1, long: true,
    read: (h) => perSecond(h, "mapsvc_request_seconds_count", ({ route }) => named(route)),
  },
  {
    id: "p99", title: "Time to answer, p99", note: "By route, the slowest seven, over a minute", form: seconds, log: true,
    least: 0.1, long: true,
    read: p99ByRoute,
  },
  {
    id: "memory", title: "Memory", note: "By process, resident", form: bytes, least: 1e8,
    read: (h) => Object.fromEntries(h.samples("mapsvc_resident_bytes").map(({ labels, value }) => [labels.process, value])),
  },
];

/** Of a counter, by word; null: nothing can be said yet. */
function perSecond(h, name, of, factor = 1) {
  const span_s = h.span_s(NOW_S);
  if (span_s === 0) return null;
  return Object.fromEntries([...h.increases(name, NOW_S, of)].map(([word, sum]) => [word, (factor * sum) / span_s]));
}

function p99ByRoute(h) {
  const buckets = new Map();
  const of = ({ route, le }) => `${le} ${named(route)}`;
  for (const [word, count] of h.increases("mapsvc_request_seconds_bucket", MINUTE_S, of)) {
    const at = word.indexOf(" ");
    const [le, route] = [word.slice(0, at), word.slice(at + 1)];
    if (!buckets.has(route)) buckets.set(route, []);
    buckets.get(route).push([le === "+Inf" ? Infinity : Number(le), count]);
  }
  return Object.fromEntries([...buckets].map(([route, counts]) => [route, quantile(0.99, counts)]));
}
