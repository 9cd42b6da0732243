// What was not taken, shown or answered, and why: every counter that says so, in words.

import { MINUTE_S, isTaken } from "./verdicts.js";

const UPDATE = "Update", REQUEST = "Request", CONNECTION = "Connection";

const OUTCOMES = {
  late: "older than what stands, or repeated",
  future: "its clock is more than 2 minutes ahead",
  unknown_evse: "no such EVSE: not imported, or its ids changed",
  ambiguous_evse: "several EVSEs have this id: location_id is needed",
  malformed: "not a status update",
  forbidden: "another party's EVSE",
};
const REFUSALS = {
  database: [REQUEST, "PostgreSQL took no writes; nothing was acknowledged"],
  queue_full: [REQUEST, "a shard's queue was full; nothing was acknowledged"],
  rate: [REQUEST, "one address asked too much"],
  connections: [CONNECTION, "the process has all that it may hold"],
  connections_of_address: [CONNECTION, "one address has all that it may hold"],
  slow_head: [CONNECTION, "the request's head took too long"],
  slow_body: [CONNECTION, "the request's body took too long"],
  slow_reader: [CONNECTION, "the client did not read its answer"],
  not_http: [CONNECTION, "what came was not HTTP"],
};

const CONFIRMATION_DROPPED = "Redis was away: statuses may turn UNKNOWN early";
const SUBSCRIBER_BEHIND = "did not keep up; comes back where it was";

/** [{key, cells}], what was dropped in the last minute first, then by how many. */
export function drops(h, form) {
  const counters = [
    [
      "mapsvc_status_updates_total",
      ({ outcome }) => (isTaken(outcome) ? undefined : outcome),
      (outcome) => [UPDATE, OUTCOMES[outcome]],
    ],
    ["mapsvc_refused_total", ({ reason }) => reason, (reason) => REFUSALS[reason] ?? [REQUEST]],
    ["mapsvc_confirmations_dropped_total", () => "dropped", () => ["Confirmation", CONFIRMATION_DROPPED]],
    ["mapsvc_live_dropped_total", () => "behind", () => ["Live subscriber", SUBSCRIBER_BEHIND]],
  ];
  const rows = counters.flatMap(([name, of, about]) => {
    const totals = new Map();
    for (const { labels, value } of h.samples(name)) {
      const word = of(labels);
      if (word !== undefined) totals.set(word, (totals.get(word) ?? 0) + value);
    }
    const lately = h.increases(name, MINUTE_S, of);
    return [...totals].filter(([, total]) => total > 0).map(([word, total]) => {
      const [what, meaning = ""] = about(word);
      return { key: `${name} ${word}`, total, minute: lately.get(word) ?? 0, what, word, meaning };
    });
  });
  rows.sort((a, b) => b.minute - a.minute || b.total - a.total || (a.key < b.key ? -1 : 1));
  return rows.map(({ key, total, minute, what, word, meaning }) => ({
    key,
    look: minute > 0 ? "minute" : "none",
    cells: { reason: word.replaceAll("_", " "), what, minute: form(minute), total: form(total) },
    notes: { reason: meaning },
  }));
}
