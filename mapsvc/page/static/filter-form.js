// Filters: free now and open now are at hand, plugs and power fold away.

import { COMMON, MORE, connectorName } from "./connectors.js";
import { button, chip, choice, el, fill, say } from "./dom.js";
import { filterCount } from "./filters.js";

const POWERS_KW = [0, 22, 50, 150, 300];
const NONE = { connector: [], min_power_kw: null, max_power_kw: null, available: null, open_now: false, operator: [] };

export function createFilterForm({ state, t, format }) {
  const filters = () => state.get().filters;
  const change = (patch) => state.set({ filters: Object.freeze({ ...filters(), ...patch }) });
  const isChosen = (standard) => filters().connector.includes(standard);
  const choose = (standard, on) =>
    change({ connector: on ? [...filters().connector, standard] : filters().connector.filter((one) => one !== standard) });

  const quick = el("div", { class: "chips" });
  const count = el("span", { class: "count" });
  const clear = button(t("filters.clear"), () => {
    state.set({ filters: Object.freeze({ ...NONE }) });
    quick.querySelector("input").focus();
  }, { class: "plain" });
  const fields = el("div", { class: "fields" });
  const node = el("section", { class: "filters", "aria-label": t("filters.label") },
    el("div", { class: "bar" }, quick, clear),
    el("details", {}, el("summary", {}, t("filters"), count), fields));
  let drawn = "";

  function plug(standard) {
    const box = chip("checkbox", connectorName(standard, t), isChosen(standard), (on) => choose(standard, on));
    box.firstChild.dataset.key = standard;
    return box;
  }

  function build() {
    const { available, open_now, min_power_kw, operator } = filters();
    const more = MORE.filter((one) => !COMMON.includes(one));
    const power = POWERS_KW.includes(min_power_kw ?? 0) ? POWERS_KW : [...POWERS_KW, min_power_kw].sort((a, b) => a - b);
    fill(quick,
      chip("checkbox", t("filters.available"), Boolean(available), (on) => change({ available: on ? 1 : null })),
      chip("checkbox", t("filters.open"), open_now, (on) => change({ open_now: on })));
    const isMoreOpen = fields.querySelector("details")?.open ?? more.some(isChosen);
    fill(fields,
      el("fieldset", { class: "choice" }, el("legend", {}, t("filters.connector")),
        el("div", { class: "chips" }, COMMON.map(plug)),
        el("details", { open: isMoreOpen }, el("summary", {}, t("filters.more")), el("div", { class: "chips" }, more.map(plug)))),
      choice(t("filters.power"), power.map((kw) => [String(kw), kw ? format.power(kw) : t("filters.anyPower")]), String(min_power_kw ?? 0),
        (kw) => change({ min_power_kw: Number(kw) || null })),
      operator.length > 0 && chip("checkbox", t("filters.operator", { operators: operator.join(", ") }), true, () => change({ operator: [] })));
  }

  function show() {
    const now = JSON.stringify(filters());
    const n = filterCount(filters());
    clear.hidden = !n;
    say(count, n ? t("filters.active", { n }) : "");
    if (now === drawn) return;
    const isOurs = node.contains(document.activeElement);
    drawn = now;
    if (!isOurs) return build();
    for (const box of node.querySelectorAll("[data-key]")) box.checked = isChosen(box.dataset.key); // the rest shows what was clicked
    if (!n) build();
  }

  show();
  return { node, show };
}
