// The line below the map: whether it is live, how old the data is, how much changes, and what the signs mean.

import { el, sign } from "./dom.js";

const TICK_MS = 1000;

export function showStatus({ root, state, map, t, format }) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const [connection, age, changes, legend] = ["connection", "age", "changes", "legend"].map(part);
  let isThere = true;

  function texts() {
    document.documentElement.lang = state.get().lang;
    document.querySelector("h1").textContent = t("page.heading");
    document.querySelector(".skip").textContent = t("page.skip");
    connection.textContent = isThere ? t("live.connected") : t("live.lost");
    for (const [name, key] of [["zoom-in", "zoomIn"], ["zoom-out", "zoomOut"], ["locate", "locate"]]) {
      const button = document.querySelector(`[data-action="${name}"]`);
      button.setAttribute("aria-label", t(key));
      button.title = t(key);
    }
    showLegend();
  }

  function showLegend() {
    legend.replaceChildren(...["free", "busy", "out_of_service", "unknown"].map((status) => el("li", {}, sign(status), t(`legend.${status}`))));
  }

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the fragment is the state's
    document.getElementById("panel").focus();
  });
  document.querySelector('[data-action="zoom-in"]').addEventListener("click", () => map.zoomBy(1));
  document.querySelector('[data-action="zoom-out"]').addEventListener("click", () => map.zoomBy(-1));
  document.querySelector('[data-action="locate"]').addEventListener("click", () =>
    navigator.geolocation?.getCurrentPosition(({ coords }) => {
      const here = { lat: coords.latitude, lon: coords.longitude };
      map.mark("here", here);
      map.flyTo(here, 14);
    }),
  );
  state.on(({ lang }, before) => lang !== before.lang && texts());
  texts();

  return {
    connection(now) {
      isThere = now;
      root.dataset.connection = now ? "there" : "lost";
      connection.textContent = now ? t("live.connected") : t("live.lost");
    },
    /** Tells of it each second; screen readers are told of the connection alone. */
    follow(live) {
      window.setInterval(() => {
        const seconds = live.ageS();
        age.textContent = seconds === null ? "" : t("live.age", { age: format.seconds ? format.seconds(seconds) : `${Math.round(seconds)} s` });
        changes.textContent = live.isWide() ? "" : t("live.changes", { n: format.number ? format.number(live.perSecond(), 1) : live.perSecond().toFixed(1) });
      }, TICK_MS);
    },
  };
}

