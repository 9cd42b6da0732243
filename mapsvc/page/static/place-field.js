// A start or a destination: a station by name, coordinates, one's position, or a place picked on the map.

import { attribute, button, el, fill, newId, say, set } from "./dom.js";

/** @param {{name: "from"|"to", list: HTMLElement, more?: HTMLElement}} of list: the datalist of stations, see `fillList` */
export function createPlaceField({ state, map, t, format, seen, geolocate }, { name, list, more = null }) {
  const [id, faultId] = [newId("place"), newId("fault")];
  const input = el("input", { id, type: "text", autocomplete: "off", placeholder: t("place.hint"), list: list.id, "aria-describedby": faultId, onchange: typed });
  const fault = el("p", { id: faultId, class: "problem" });
  const opened = button(t("place.open"), () => choose(placeOf(seen.opened())), { class: "small" });
  const node = el("div", { class: "field place" },
    el("label", { for: id }, t(`place.${name}`)), input, fault,
    el("div", { class: "chips" },
      button(t("place.here"), async () => choose(await geolocate()), { class: "small" }),
      button(t("place.pick"), pick, { class: "small" }),
      name === "from" ? button(t("place.centre"), () => choose({ ...map.centre(), name: t("place.centre") }), { class: "small" }) : null,
      opened, more));

  function choose(place) {
    if (!place) return;
    tellFault("");
    state.set({ [name]: place }, { push: true });
  }

  async function pick({ target }) {
    const at = await map.pickPoint(t("map.pickHint"));
    target.focus({ preventScroll: true });
    choose(at);
  }

  function typed() {
    const text = input.value.trim();
    if (!text) return tellFault(""), state.set({ [name]: null }, { push: true });
    const found = seen.labelled().find(([label, station]) => label === text || station.name === text);
    const place = found ? placeOf(found[1]) : coordinates(text);
    if (place) choose(place);
    else tellFault(t("place.nobody"));
  }

  function tellFault(text) {
    say(fault, text);
    attribute(input, "aria-invalid", text ? "true" : null);
  }

  function show() {
    const place = state.get()[name];
    if (document.activeElement !== input || place) set(input, { value: place ? place.name || written(place, format) : "" });
    opened.hidden = !seen.opened();
    map.mark(name, place);
  }

  return { node, show, tellFault, hide: () => map.mark(name, null), focus: () => input.focus() };
}

export const placeList = () => el("datalist", { id: newId("places") });
export const fillList = (list, seen) => fill(list, seen.labelled().map(([label]) => el("option", { value: label })));

const placeOf = (station) => station && { lat: station.lat, lon: station.lon, name: station.name };
const written = ({ lat, lon }, format) => `${format.number(lat, 4)}; ${format.number(lon, 4)}`;

/** "48.66, 6.89"; with decimal commas "48,66; 6,89". */
export function coordinates(text) {
  const parts = text.split(/;|,\s+|\s+/).filter(Boolean);
  const [lat, lon] = (parts.length === 1 ? text.split(",") : parts).map((part) => Number(part.replace(",", ".")));
  const isPlace = parts.length <= 2 && Math.abs(lat) <= 90 && Math.abs(lon) <= 180; // NaN is not
  return isPlace ? { lat, lon } : null;
}
