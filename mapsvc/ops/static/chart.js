// A line chart: the last minutes from left to right, a line for each series, broken where samples are missing.

import { el, mark, order, say, svg } from "./dom.js";
import { NOTHING, clock } from "./format.js";

const SPAN_S = 600;
const GAP_S = 7; // three polls and a bit: what is longer apart is not joined
const TOP = 8, RIGHT = 8, BOTTOM = 20, LEFT = 52, HEIGHT = 168;
const COLOURS = 7; // in ops.css; later series are not drawn
const FLOOR = 1e-4; // of a logarithmic axis: the least bucket of the histograms

/**
 * @param {{id: string, title: string, note: string, form: (value: number) => string, least: number, log?: boolean,
 *   long?: boolean, series?: string[]}} about
 *   `least`: the axis reaches at least this far, so that noise near nothing does not look like a storm;
 *   `long`: names get a row each; `series`: these and no others, in this order
 */
export function createChart(about) {
  const plot = svg("svg", { role: "img", "aria-label": about.title });
  const legend = el("ul", { class: about.long ? "legend long" : "legend" });
  const readout = el("p", { class: "readout" });
  const node = el("figure", { id: `chart-${about.id}` },
    el("figcaption", {}, el("h3", {}, about.title), el("p", { class: "note" }, about.note), readout), plot, legend);
  const fixed = about.series ?? [];
  const colours = new Map(fixed.map((name, i) => [name, i + 1])); // kept while a series is drawn
  const items = new Map();
  let points = [], now_s = 0, width = 0, pointed = null;

  new ResizeObserver(([{ contentRect }]) => {
    width = Math.round(contentRect.width);
    draw();
  }).observe(plot);
  plot.addEventListener("pointermove", (event) => {
    pointed = event.offsetX;
    draw();
  });
  plot.addEventListener("pointerleave", () => {
    pointed = null;
    draw();
  });

  /** `all`: [{at_s, values: {series: number}}], oldest first. */
  function show(all, at_s) {
    points = all.filter((point) => at_s - point.at_s <= SPAN_S);
    now_s = at_s;
    draw();
  }

  const x = (at_s) => LEFT + (width - LEFT - RIGHT) * (1 - (now_s - at_s) / SPAN_S);

  function draw() {
    if (width < LEFT + RIGHT + 40) return;
    const series = chosen();
    const at = pointed === null ? points.at(-1) : nearest();
    const is_now = pointed === null && at && now_s - at.at_s < GAP_S;
    const values = (is_now || pointed !== null) && at ? at.values : {};
    drawPlot(series, pointed === null ? null : at);
    list(series, values);
    say(readout, pointed !== null && at ? clock(at.at_ms) : "");
    const told = series.map((name) => `${name} ${about.form(values[name])}`).join(", ");
    mark(plot, "aria-label", `${about.title}: ${told || "no samples yet"}`);
  }

  /** The greatest, over all that is drawn; in the order in which they were first seen, so that colours and lines stay. */
  function chosen() {
    const sums = new Map();
    for (const { values } of points) {
      for (const [name, value] of Object.entries(values)) sums.set(name, (sums.get(name) ?? 0) + (value ?? 0));
    }
    const by_sum = [...sums].filter(([, sum]) => sum > 0).sort(([, a], [, b]) => b - a);
    const greatest = fixed.length ? fixed : by_sum.slice(0, COLOURS).map(([name]) => name);
    for (const name of [...colours.keys()]) if (!greatest.includes(name)) colours.delete(name);
    for (const name of greatest.filter((name) => !colours.has(name))) {
      const taken = new Set(colours.values());
      colours.set(name, Array.from({ length: COLOURS }, (_, i) => i + 1).find((colour) => !taken.has(colour)));
    }
    return [...colours].sort(([, a], [, b]) => a - b).map(([name]) => name);
  }

  function nearest() {
    const distance = (point) => Math.abs(x(point.at_s) - pointed);
    return points.reduce((best, point) => (best && distance(best) <= distance(point) ? best : point), null);
  }

  function drawPlot(series, at) {
    mark(plot, "viewBox", `0 0 ${width} ${HEIGHT}`);
    const greatest = Math.max(about.least, ...points.flatMap(({ values }) => series.map((name) => values[name] ?? 0)));
    const { ticks, share } = about.log ? logarithmic(greatest) : linear(greatest);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share(value));
    const text = (x, y, anchor, text) => svg("text", { class: "tick", x, y, "text-anchor": anchor }, text);
    const parts = ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }),
      text(LEFT - 8, y(tick) + 4, "end", about.form(tick).replace(/\.0+(?!\d)/, "")),
    ]);
    for (const minutes of [10, 5, 0]) {
      const anchor = minutes === 10 ? "start" : minutes === 0 ? "end" : "middle";
      parts.push(text(x(now_s - 60 * minutes), HEIGHT - 4, anchor, minutes ? `−${minutes} min` : "now"));
    }
    for (const name of series) {
      const d = path(name, y);
      if (d) parts.push(svg("path", { class: `line series-${colours.get(name)}`, d, "data-series": name }));
    }
    if (at) parts.push(svg("line", { class: "pointer", x1: x(at.at_s), x2: x(at.at_s), y1: TOP, y2: HEIGHT - BOTTOM }));
    plot.replaceChildren(...parts);
  }

  /** A point alone becomes a dot: a line of no length with round ends. */
  function path(name, y) {
    let d = "", before_s = -Infinity, alone = false;
    for (const { at_s, values } of points) {
      const value = values[name];
      if (value === undefined || value === null) continue;
      const place = `${x(at_s).toFixed(1)} ${y(value).toFixed(1)}`;
      const joined = at_s - before_s <= GAP_S;
      if (!joined && alone) d += "h0";
      d += `${joined ? "L" : "M"}${place}`;
      alone = !joined;
      before_s = at_s;
    }
    return alone ? `${d}h0` : d;
  }

  function list(series, values) {
    for (const name of series) {
      if (!items.has(name)) {
        const swatch = svg("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, svg("path", { d: "M1 4H17" }));
        items.set(name, el("li", {}, swatch, el("span", { class: "name", title: name }, name), el("span", { class: "value" })));
      }
      const [swatch, , value] = items.get(name).children;
      mark(swatch.firstChild, "class", `line series-${colours.get(name)}`);
      say(value, name in values ? about.form(values[name]) : NOTHING);
    }
    order(legend, series.map((name) => items.get(name)));
  }

  return { node, show };
}

/** From 0 to the next 1, 2 or 5 that holds the greatest. */
function linear(greatest) {
  const rough = greatest / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * ten).find((one) => one >= rough * 0.999);
  const count = Math.ceil(greatest / step - 1e-9);
  return { ticks: Array.from({ length: count + 1 }, (_, i) => i * step), share: (value) => value / (count * step) };
}

/** From FLOOR to the next power of ten. */
function logarithmic(greatest) {
  const low = Math.log10(FLOOR), high = Math.max(low + 1, Math.ceil(Math.log10(greatest) - 1e-9));
  const ticks = Array.from({ length: Math.round(high - low) + 1 }, (_, i) => 10 ** (low + i));
  return { ticks, share: (value) => (Math.log10(Math.max(value, FLOOR)) - low) / (high - low) };
}
