// What changes while one looks: one EventSource for the stations in view.
//
// The stream begins at a cursor that is taken first, so that it tells changes only: the tiles have the rest. Whatever may have
// changed between a tile and the cursor is made good by looking at all tiles once when the stream is there (onStale); most
// answers are 304. The first cursor is asked for before the map is there: then no tile is older. A connection that was cut is
// resumed by EventSource itself, from the last event that it had.

import { withFilters } from "./filters.js";

const SPARE = 0.5; // of the view's width and height, on each side: small moves need no other stream
const MAX_AREA_DEG2 = 100; // that the service allows
const WIDE_S = 5; // a view that is larger has no stream; its tiles are looked at so often
const AGE_S = 5; // between two questions how old the data is
const AGAIN_S = [1, 2, 5, 10, 30]; // after a stream that was refused
const WINDOW_S = 10; // over which changes are counted

let first = currentCursor();
first.catch(() => {}); // whoever waits for it hears of it

/**
 * @param {{onTiles: (tiles: {z: number, x: number, y: number}[]) => void, onStale: (since?: number) => void, onChange: () => void,
 *   onConnection: (isThere: boolean) => void}} told
 */
export function createLive({ onTiles, onStale, onChange, onConnection }) {
  let wanted = null; // {box, zoom, filters}
  let source = null;
  let box = null; // that the stream is about
  let asked = 0;
  let refused = 0;
  let isThere = true;
  let again = 0;
  let age = null; // {s, at}
  const changes = []; // [at, stations]

  function connection(now) {
    if (now !== isThere) onConnection((isThere = now));
  }

  async function subscribe() {
    window.clearTimeout(again);
    again = 0;
    if (document.hidden) return;
    const mine = ++asked;
    const { zoom, filters } = wanted;
    const about = padded(wanted.box);
    if (area(about) > MAX_AREA_DEG2) {
      source?.close();
      source = box = null;
      return;
    }
    let cursor;
    try {
      cursor = await (first ?? currentCursor());
    } catch {
      first = null;
      if (mine === asked) later();
      return;
    }
    first = null;
    if (mine !== asked) return;
    const query = { bbox: about.map((value) => value.toFixed(5)).join(","), zoom: String(zoom), last_event_id: cursor.id };
    const next = new EventSource(withFilters("/v1/live", filters, query));
    next.onopen = () => {
      if (next !== source) return;
      refused = 0;
      connection(true);
      onStale(cursor.at);
    };
    next.onerror = () => {
      if (next !== source) return;
      connection(false);
      if (next.readyState === EventSource.CLOSED) later(); // it was refused: EventSource gives up
    };
    for (const name of ["change", "leave"]) next.addEventListener(name, (event) => hear(JSON.parse(event.data)));
    next.addEventListener("reset", () => onStale()); // too long away: a whole snapshot follows, which the tiles are better at
    source?.close();
    source = next;
    box = about;
  }

  function later() {
    connection(false);
    source?.close();
    source = box = null;
    again = window.setTimeout(subscribe, 1000 * AGAIN_S[Math.min(refused++, AGAIN_S.length - 1)]);
  }

  function hear({ stations = [], tiles = [] }) {
    changes.push([performance.now(), stations.length || 1]);
    onTiles(tiles);
    onChange();
  }

  async function askAge() {
    if (document.hidden) return;
    try {
      const answer = await fetch("/readyz", { cache: "no-store" });
      const told = await answer.json();
      age = Number.isFinite(told.data_age_s) ? { s: told.data_age_s, at: performance.now() } : null;
      if (!box) connection(answer.ok); // 503: it has no stations yet
    } catch {
      if (!box) connection(false);
    }
  }

  window.setInterval(askAge, 1000 * AGE_S);
  window.setInterval(() => {
    if (!document.hidden && wanted && !box && !again) onStale();
  }, 1000 * WIDE_S);
  // A browser has six connections with a host, over all its tabs: one that nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      asked++; // whatever is under way is no longer wanted
      window.clearTimeout(again);
      source?.close();
      source = box = null;
    } else if (wanted) {
      askAge();
      onStale();
      subscribe();
    }
  });
  askAge();

  return {
    /** What is in view. `box`: west, south, east, north; west > east crosses the antimeridian. */
    watch(now) {
      const isSame = wanted && now.zoom === wanted.zoom && now.filters === wanted.filters;
      wanted = now;
      if (isSame && box && contains(box, now.box)) return;
      subscribe();
    },
    /** Seconds since the service last heard from its database, or null. */
    ageS: () => age && age.s + (performance.now() - age.at) / 1000,
    perSecond() {
      const since = performance.now() - 1000 * WINDOW_S;
      while (changes.length && changes[0][0] < since) changes.shift();
      return changes.reduce((sum, [, stations]) => sum + stations, 0) / WINDOW_S;
    },
    isWide: () => wanted !== null && box === null,
  };
}

/** Of now, and when that was: what a stream about nothing begins with. */
async function currentCursor() {
  const stop = new AbortController();
  const patience = window.setTimeout(() => stop.abort(), 5000);
  try {
    const answer = await fetch("/v1/live?stations=nobody~none", { signal: stop.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw new Error("no cursor");
      text += value;
      const cursor = /^id: (?!0$)(\S+)$/m.exec(text.slice(0, text.lastIndexOf("\n")));
      if (cursor) return { id: cursor[1], at: performance.now() };
    }
  } finally {
    window.clearTimeout(patience);
    stop.abort();
  }
}

function padded([west, south, east, north]) {
  const wide = (east < west ? east + 360 : east) - west;
  const dx = Math.min(wide * SPARE, (360 - wide) / 2 - 1e-6), dy = (north - south) * SPARE;
  return [turned(west - dx), Math.max(-90, south - dy), turned(east + dx), Math.min(90, north + dy)];
}

const turned = (lon) => (lon < -180 ? lon + 360 : lon > 180 ? lon - 360 : lon);
const area = ([west, south, east, north]) => ((east < west ? east + 360 : east) - west) * (north - south);

function contains(outer, inner) {
  if (inner[1] < outer[1] || inner[3] > outer[3]) return false;
  const from = (lon) => (((lon - outer[0]) % 360) + 360) % 360; // degrees east of the outer box's west
  return from(inner[0]) <= from(inner[2]) && from(inner[2]) <= from(outer[2]);
}
