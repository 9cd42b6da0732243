// Tables that are filled again and again: rows are kept by key and cells are written only where they changed.

import { el, mark, order, say } from "./dom.js";

/**
 * @param {{caption: string, columns: [id: string, title: string, kind: "text"|"number"|"noted"][],
 *   sort?: {by: string, down: boolean}}} about
 *   "noted": the text with a line of explanation below; with `sort` the heads are buttons
 */
export function createTable(about) {
  let sort = about.sort, rows = [];
  const kept = new Map();
  const heads = new Map(about.columns.map(([id, title, kind]) => [id, head(id, title, kind)]));
  const body = el("tbody");
  const node = el("table", {}, el("caption", {}, about.caption), el("thead", {}, el("tr", {}, ...heads.values())), body);

  function head(id, title, kind) {
    const node = el("th", { scope: "col", class: kind });
    if (!about.sort) return node.append(title), node;
    const button = el("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      // Numbers are looked at from the greatest, names from A.
      sort = { by: id, down: sort.by === id ? !sort.down : kind === "number" };
      draw();
    });
    node.append(button);
    return node;
  }

  /**
   * `all`: [{key, cells: {column: text}, values?: {column: what it sorts by}, notes?: {column: text},
   * shares?: {column: 0 to 1}, look?: the column to look at, "none" for none}]
   */
  function show(all) {
    rows = all;
    draw();
  }

  function draw() {
    if (about.sort) {
      const { by, down } = sort;
      rows = [...rows].sort((a, b) => (down ? -1 : 1) * compare(a.values[by], b.values[by]) || compare(a.key, b.key));
      for (const [id, node] of heads) {
        if (id === sort.by) mark(node, "aria-sort", sort.down ? "descending" : "ascending");
        else node.removeAttribute("aria-sort");
      }
    }
    const drawn = rows.map(row);
    for (const key of [...kept.keys()]) if (!rows.some((one) => one.key === key)) kept.delete(key);
    order(body, drawn);
  }

  function row({ key, cells, notes, look, shares }) {
    if (!kept.has(key)) {
      kept.set(key, el("tr", { "data-key": key }, ...about.columns.map(([, , kind], i) =>
        el(i === 0 ? "th" : "td", i === 0 ? { scope: "row", class: kind } : { class: kind },
          ...(kind === "noted" ? [el("span"), el("span", { class: "note" })] : [])))));
    }
    const node = kept.get(key);
    about.columns.forEach(([id, , kind], i) => {
      const cell = node.children[i];
      say(kind === "noted" ? cell.firstChild : cell, cells[id]);
      if (kind === "noted") say(cell.lastChild, notes[id]);
      cell.classList.toggle("zero", cells[id] === "0");
      if (look) mark(cell, "data-level", look === id ? "look" : "");
      if (shares && id in shares) cell.style.setProperty("--share", shares[id]);
    });
    return node;
  }

  return { node, show };
}

const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
