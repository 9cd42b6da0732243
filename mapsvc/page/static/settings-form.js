// Language, units and appearance.

import { el, select } from "./dom.js";
import { LANGUAGES } from "./strings.js";

const CHOICES = { lang: LANGUAGES, units: ["metric", "imperial"], theme: ["auto", "light", "dark"] };

export function createSettings({ state, t }) {
  const pick = (name) =>
    select(t(name), CHOICES[name].map((one) => [one, t(`${name}.${one}`)]), state.get()[name], (value) => state.set({ [name]: value }), { data: { focus: name } });
  return el("div", { class: "settings", id: "settings", hidden: true }, el("div", { class: "row" }, Object.keys(CHOICES).map(pick)),
    el("p", { class: "muted" }, t("attribution")));
}
