// The map page as a table of contents: the state, the map, what changes, and the panel beside it.

import { createFormat } from "./format.js";
import { library } from "./library.js";
import { createLive } from "./live.js";
import { createMapView } from "./map-view.js";
import { createPanel } from "./panel.js";
import { createState } from "./state.js";
import { showStatus } from "./status-line.js";
import { translator } from "./strings.js";
import { preferences, remember } from "./preferences.js";
import { followTheme } from "./theme.js";

const REFRESH_MS = 2000; // of the list, at most so often
const settings = JSON.parse(document.querySelector('meta[name="mapsvc"]').content);

// What is shown, and in whose language
const state = createState(window, preferences());
const t = translator(() => state.get().lang);
const format = createFormat(() => state.get());
const theme = followTheme(state);
remember(state);

// The map
const { lat, lon, zoom, filters } = state.get();
const map = createMapView({
  library: await library,
  container: document.getElementById("map"),
  start: { lat, lon, zoom },
  filters,
  theme: theme.now(),
  styleUrl: settings.style_url,
  labels: { map: t("map.label"), attribution: t("map.attribution") },
});
theme.on(map.setTheme);

// The panel beside it
const panel = createPanel({ root: document.getElementById("panel"), state, map, t, format });
let refreshing = 0;
const refreshPanel = () => (refreshing ||= window.setTimeout(() => ((refreshing = 0), panel.refresh()), REFRESH_MS));

// What changes
const status = showStatus({ root: document.getElementById("status"), state, map, t, format });
const live = createLive({
  onTiles: (tiles) => map.refreshTiles(tiles),
  onStale: (since) => (map.refreshAll(since), refreshPanel()),
  onChange: refreshPanel,
  onConnection: status.connection,
});
status.follow(live);
const watch = () => live.watch({ box: map.bounds(), zoom: map.tileZoom(), filters: state.get().filters });
watch();

// The map follows the state, and the state the map
map.onMoved(() => {
  const { lat, lon } = map.centre();
  state.set({ lat, lon, zoom: map.zoom() });
  watch();
});
state.on((now, before) => {
  if (JSON.stringify(now.filters) !== JSON.stringify(before.filters)) map.setFilters(now.filters), watch();
  if (now.units !== before.units) map.setUnits(now.units);
  if (hasMoved(now, before) && isElsewhere(now)) map.jumpTo(now); // back, or another fragment
});
map.setUnits(state.get().units);
window.mapPage = { state, map, live }; // for whoever looks in from the console, and for tests

function hasMoved(now, before) {
  return now.lat !== before.lat || now.lon !== before.lon || now.zoom !== before.zoom;
}

function isElsewhere({ lat, lon, zoom }) {
  const at = map.centre();
  return Math.abs(at.lat - lat) > 1e-4 || Math.abs(at.lon - lon) > 1e-4 || Math.abs(map.zoom() - zoom) > 0.02;
}
