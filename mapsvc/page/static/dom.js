// Elements from data: text stays text, there is no innerHTML.

import { STROKES } from "./station-layers.js";

/**
 * `el("button", {type: "button", class: "x", onclick: fn, "aria-pressed": "true"}, "text", child, [children], null)`
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  set(node, props);
  node.append(...children.flat().filter(isThere));
  return node;
}

export function set(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list") attribute(node, name, value);
    else node[name] = value;
  }
  return node;
}

/** null takes it away. */
export function attribute(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export const fill = (node, ...children) => (node.replaceChildren(...children.flat().filter(isThere)), node);

/** Text that is the same is left alone, so that nothing is announced or selected anew. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const isThere = (child) => child !== null && child !== undefined && child !== false && child !== "";

let ids = 0;
export const newId = (name) => `${name}-${++ids}`;

/** A labelled choice of a few, as `<select>`. */
export function select(label, choices, value, onchange, props = {}) {
  const id = newId("select");
  const node = el("select", { id, onchange: () => onchange(node.value), ...props },
    choices.map(([value, text]) => el("option", { value }, text)));
  node.value = value;
  return el("div", { class: "field" }, el("label", { for: id }, label), node);
}

/** One of a few, all to be seen, as radio buttons. `value` of each is a string. */
export function choice(legend, choices, value, onchange) {
  const name = newId("choice");
  return el("fieldset", { class: "choice" }, el("legend", {}, legend),
    el("div", { class: "chips" }, choices.map(([one, text]) => chip("radio", text, one === value, () => onchange(one), { name, value: one }))));
}

/** A checkbox or radio button that looks like a button. */
export function chip(type, text, checked, onchange, props = {}) {
  const input = el("input", { type, checked, onchange: () => onchange(input.checked), ...props });
  return el("label", { class: "chip" }, input, el("span", {}, text));
}

export const button = (text, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, text);

const ICONS = {
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 4.5v5M8 14.5v5",
  swap: "M8 4v15M8 19l-4-4M8 19l4-4M16 20V5M16 5l-4 4M16 5l4 4",
};
const SVG = "http://www.w3.org/2000/svg";

function drawing(d, name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", d);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", name);
  svg.append(path);
  return svg;
}

export const sign = (status) => drawing(STROKES[status], `sign sign-${status}`);
export const icon = (name) => drawing(ICONS[name], "icon");

export function showSign(svg, status) {
  svg.setAttribute("class", `sign sign-${status}`);
  svg.firstChild.setAttribute("d", STROKES[status]);
}
