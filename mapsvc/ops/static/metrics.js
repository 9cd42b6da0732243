// The Prometheus text format, and rates out of counters that are looked at again and again. No page here.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { n: "\n" };

/** Samples by name: {name: [{labels, value, key}]}; `key` is the line without its value. */
export function parse(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!match) continue;
    const [, name, inside = "", number] = match;
    const labels = {};
    for (const [, label, value] of inside.matchAll(LABEL)) labels[label] = value.replace(/\\(.)/g, (_, c) => ESCAPED[c] ?? c);
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels, value: Number(number.replace("Inf", "Infinity")), key: `${name}{${inside}}` });
  }
  return families;
}

/**
 * What was read one after another, for as long as the longest window. A counter that went down began anew with its process.
 * One that was not there before counts from 0 if its process was there; of a process that was not, nothing is known.
 */
export class History {
  #steps = []; // {at_s, took_s, grown: {name: [{labels, value}]}}
  #last = null;
  families = new Map();

  constructor(longest_s) {
    this.longest_s = longest_s;
  }

  add(at_s, text) {
    this.families = parse(text);
    const seen = new Map(), processes = new Set();
    for (const [name, samples] of this.families) {
      if (!isCounter(name)) continue;
      for (const { key, value, labels } of samples) {
        seen.set(key, value);
        processes.add(labels.process);
      }
    }
    if (this.#last) this.#steps.push({ at_s, took_s: at_s - this.#last.at_s, grown: this.#grown(this.#last) });
    this.#last = { at_s, seen, processes };
    this.#steps = this.#steps.filter((step) => at_s - step.at_s < this.longest_s);
  }

  #grown(last) {
    const grown = new Map();
    for (const [name, samples] of this.families) {
      if (!isCounter(name)) continue;
      const moved = [];
      for (const { labels, value, key } of samples) {
        if (!last.processes.has(labels.process)) continue;
        const before = last.seen.get(key) ?? 0;
        const more = value >= before ? value - before : value;
        if (more > 0) moved.push({ labels, value: more });
      }
      grown.set(name, moved);
    }
    return grown;
  }

  samples(name) {
    return this.families.get(name) ?? [];
  }

  sum(name, wanted = () => true) {
    return this.samples(name).reduce((sum, { labels, value }) => (wanted(labels) ? sum + value : sum), 0);
  }

  /** The greatest; null: there is none, or it is not a number. */
  max(name) {
    const values = this.samples(name).map(({ value }) => value).filter(Number.isFinite);
    return values.length ? Math.max(...values) : null;
  }

  /** How much a counter grew in the window, {of: sum}; `of` maps labels to a word, or to undefined: leave it out. */
  increases(name, window_s, of) {
    const sums = new Map();
    const add = (labels, more) => {
      const word = of(labels);
      if (word !== undefined) sums.set(word, (sums.get(word) ?? 0) + more);
    };
    for (const { labels } of this.samples(name)) add(labels, 0); // what is there and did not grow grew by nothing
    for (const step of this.#within(window_s)) for (const { labels, value } of step.grown.get(name) ?? []) add(labels, value);
    return sums;
  }

  increase(name, window_s, wanted = () => true) {
    return this.increases(name, window_s, (labels) => (wanted(labels) ? "all" : undefined)).get("all") ?? 0;
  }

  /** The time that the increases of a window are of; 0: nothing can be said yet. */
  span_s(window_s) {
    return this.#within(window_s).reduce((sum, { took_s }) => sum + took_s, 0);
  }

  /** Per second; null: not known yet. */
  rate(name, window_s, wanted) {
    const span_s = this.span_s(window_s);
    return span_s > 0 ? this.increase(name, window_s, wanted) / span_s : null;
  }

  #within(window_s) {
    const now_s = this.#last?.at_s ?? 0;
    return this.#steps.filter((step) => now_s - step.at_s < window_s - 0.5); // polls are never quite on time
  }
}

const isCounter = (name) => /_(total|bucket|count)$/.test(name);

/** As PromQL's histogram_quantile. `buckets`: [[le, how many]], cumulative. null: nothing was observed. */
export function quantile(q, buckets) {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  const all = sorted.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return null;
  const at = sorted.findIndex(([, count]) => count >= q * all);
  const [upper, count] = sorted[at];
  const [lower, before] = at > 0 ? sorted[at - 1] : [0, 0];
  if (upper === Infinity) return lower;
  return lower + ((upper - lower) * (q * all - before)) / (count - before);
}
