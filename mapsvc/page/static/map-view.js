// MapLibre, and the few things that the rest of the page wants of it.

import { basemapStyle, labelLayers, roadLayers, roadSource } from "./basemap-style.js";
import { withFilters } from "./filters.js";
import { CLICKABLE, FIRST_STATION_ZOOM, LOCAL_FONT, MAX_TILE_ZOOM, SIGNS, SOURCE, TILES, drawSign, stationLayers, stationSource } from "./station-layers.js";

const CLOSE_ZOOM = 15;
const CLICK_PX = 10; // about a click: fingers are not exact
const ROUTE = { light: { line: "#1d4ed8", casing: "#ffffff", area: "#1d4ed8" }, dark: { line: "#7aa7ff", casing: "#10151c", area: "#7aa7ff" } };
const NARROW_PX = 640; // the map's width below which the attribution is folded, as its makers allow
const NOTHING = { type: "FeatureCollection", features: [] };

/**
 * @param {{library: object, container: HTMLElement, start: {lat: number, lon: number, zoom: number}, filters: object,
 *   theme: "light"|"dark", styleUrl: string|null, labels: {map: string, attribution: string}}} with_
 */
export function createMapView({ library, container, start, filters, theme, styleUrl, labels }) {
  const origin = window.location.origin;
  const tilesUrl = () => origin + withFilters(TILES, now.filters);
  const now = { filters, theme, roads: null };
  const map = new library.Map({
    container,
    style: styleUrl ?? basemapStyle(theme, origin),
    center: [start.lon, start.lat],
    zoom: start.zoom,
    maxZoom: 19,
    validateStyle: Boolean(styleUrl), // ours is known to be right, and is looked at by the tests
    fadeDuration: 0, // a new tile is there at once: nothing blinks
    refreshExpiredTiles: false, // live.js says when there is something new
    zoomLevelsToOverscale: undefined, // a tile beyond the last zoom is that tile, and not a part of it: so it can be refreshed
    dragRotate: false,
    pitchWithRotate: false,
    attributionControl: false,
    locale: { "Map.Title": labels.map, "AttributionControl.ToggleAttribution": labels.attribution },
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.addControl(new library.AttributionControl({ compact: true }), "bottom-right");
  if (container.clientWidth < NARROW_PX) map.once("load", foldAttribution);
  map.addControl(new library.ScaleControl({ maxWidth: 90 }), "bottom-left");

  // -- what is drawn -----------------------------------------------------------------------------------------------

  const drawn = { route: NOTHING, area: NOTHING, listed: NOTHING };

  function overlay() {
    if (map.getSource(SOURCE)) return;
    const colours = ROUTE[now.theme];
    for (const status of SIGNS) {
      const { picture, options } = drawSign(status);
      map.addImage(`sign-${status}`, picture, options);
    }
    for (const name of Object.keys(drawn)) map.addSource(name, { type: "geojson", data: drawn[name] });
    map.addSource(SOURCE, stationSource(tilesUrl()));
    map.addLayer({ id: "area", type: "fill", source: "area", paint: { "fill-color": colours.area, "fill-opacity": 0.16 } });
    map.addLayer({ id: "area-edge", type: "line", source: "area", paint: { "line-color": colours.area, "line-width": 2 } });
    const line = { "line-cap": "round", "line-join": "round" };
    map.addLayer({ id: "route-casing", type: "line", source: "route", layout: line, paint: { "line-color": colours.casing, "line-width": 8 } });
    map.addLayer({ id: "route", type: "line", source: "route", layout: line, paint: { "line-color": colours.line, "line-width": 5 } });
    const font = fontOf(map.getStyle());
    for (const layer of stationLayers(now.theme, font)) map.addLayer(layer);
    map.addLayer({
      id: "listed", type: "symbol", source: "listed",
      layout: { "text-field": ["get", "label"], "text-font": font, "text-size": 12, "text-offset": [0, -1.5], "text-padding": 1 },
      paint: { "text-color": colours.line, "text-halo-color": colours.casing, "text-halo-width": 2 },
    });
  }

  function addRoads() {
    if (map.getSource("roads") || styleUrl || !map.getLayer("area")) return;
    map.addSource("roads", roadSource(now.roads.tiles, now.roads.bounds, now.roads.attribution));
    for (const layer of roadLayers(now.theme)) map.addLayer(layer, "area");
  }

  function addNames() {
    if (styleUrl) return;
    for (const layer of labelLayers(now.theme)) if (!map.getLayer(layer.id)) map.addLayer(layer, "aggregates");
  }

  function foldAttribution() {
    const folded = container.querySelector(".maplibregl-ctrl-attrib");
    folded?.classList.remove("maplibregl-compact-show");
    folded?.removeAttribute("open");
  }

  /** Roads come with their own extract; without one the map has none. */
  async function findRoads() {
    try {
      const answer = await fetch("/v1/tiles/roads.json");
      if (!answer.ok) return;
      const told = await answer.json();
      const [west, south, east, north] = told.bounds ?? [];
      if (!(east > west && north > south)) return;
      now.roads = { ...told, tiles: [`${origin}/v1/tiles/roads/{z}/{x}/{y}.mvt`] };
      addRoads();
    } catch {
      // no roads then
    }
  }

  map.on("style.load", overlay);
  map.on("render", function look() {
    if (!map.getLayer("stations") || !map.queryRenderedFeatures({ layers: CLICKABLE }).length) return;
    performance.mark("stations"); // how long a driver waited for them
    map.off("render", look);
    addNames();
  });
  map.once("idle", () => (addNames(), findRoads())); // there may be no stations here
  map.on("error", ({ error }) => console.warn("map:", error?.message)); // a tile that does not come is asked for again

  function repaint() {
    const ours = styleUrl ? [] : [...basemapStyle(now.theme, origin).layers, ...labelLayers(now.theme)];
    for (const layer of [...ours, ...roadLayers(now.theme), ...stationLayers(now.theme)]) {
      if (!map.getLayer(layer.id)) continue;
      for (const [name, value] of Object.entries(layer.paint ?? {})) map.setPaintProperty(layer.id, name, value);
    }
    const colours = ROUTE[now.theme];
    map.setPaintProperty("route", "line-color", colours.line);
    map.setPaintProperty("route-casing", "line-color", colours.casing);
    map.setPaintProperty("area", "fill-color", colours.area);
    map.setPaintProperty("area-edge", "line-color", colours.area);
    map.setPaintProperty("listed", "text-color", colours.line);
    map.setPaintProperty("listed", "text-halo-color", colours.casing);
  }

  // -- tiles that have changed --------------------------------------------------------------------------------------

  // A tile that is under way may have left the server before the change: it is looked at once more when it is here.
  let firstAsked = Infinity; // ms after the navigation
  const underWay = new Set();
  const again = new Set();
  const key = ({ z, x, y }) => `${z}/${x}/${y}`;

  map.on("sourcedataloading", ({ sourceId, tile }) => {
    if (sourceId !== SOURCE || !tile) return;
    firstAsked = Math.min(firstAsked, performance.now());
    underWay.add(key(tile.tileID.canonical));
  });
  map.on("sourcedata", ({ sourceId, tile }) => {
    if (sourceId !== SOURCE || !tile || (tile.state !== "loaded" && tile.state !== "errored")) return;
    const { z, x, y } = tile.tileID.canonical;
    underWay.delete(key({ z, x, y }));
    if (again.delete(key({ z, x, y }))) map.refreshTiles(SOURCE, [{ z, x, y }]);
  });

  function refreshTiles(tiles) {
    if (!map.getSource(SOURCE)) return;
    for (const tile of tiles) if (underWay.has(key(tile))) again.add(key(tile));
    map.refreshTiles(SOURCE, tiles.filter((tile) => !underWay.has(key(tile))));
  }

  /** All tiles, unless every one was asked for later than `since`. */
  function refreshAll(since = Infinity) {
    if (since > firstAsked && map.getSource(SOURCE)) map.refreshTiles(SOURCE);
  }

  // -- clicks ---------------------------------------------------------------------------------------------------------

  const onStations = new Set();
  let picking = null;

  map.on("click", ({ point, lngLat }) => {
    if (picking) {
      const { lng, lat } = lngLat.wrap();
      return picking({ lat, lon: lng });
    }
    const about = [[point.x - CLICK_PX, point.y - CLICK_PX], [point.x + CLICK_PX, point.y + CLICK_PX]];
    const layers = CLICKABLE.filter((id) => map.getLayer(id));
    const hits = map.queryRenderedFeatures(about, { layers }).map(({ geometry, layer, properties }) => {
      const [lon, lat] = geometry.coordinates;
      const { x, y } = map.project([lon, lat]);
      return { lat, lon, layer: layer.id, properties, away: Math.hypot(x - point.x, y - point.y) };
    });
    if (!hits.length) return;
    const nearest = hits.reduce((best, hit) => (hit.away < best.away ? hit : best));
    if (nearest.layer === "aggregates") return map.easeTo({ center: [nearest.lon, nearest.lat], zoom: Math.min(map.getZoom() + 2, FIRST_STATION_ZOOM + 1) });
    for (const listener of onStations) listener([{ lat: nearest.lat, lon: nearest.lon }], { x: point.x, y: point.y });
  });
  for (const id of CLICKABLE) {
    map.on("mouseenter", id, () => (map.getCanvas().style.cursor = picking ? "crosshair" : "pointer"));
    map.on("mouseleave", id, () => (map.getCanvas().style.cursor = picking ? "crosshair" : ""));
  }

  /** The next position that is clicked, or that is in the middle when Enter is pressed; null: Escape. */
  function pickPoint(hint) {
    picking?.(null);
    const told = document.createElement("p");
    told.className = "pick-hint";
    told.setAttribute("role", "status");
    told.textContent = hint;
    container.append(told);
    map.getCanvas().style.cursor = "crosshair";
    map.getCanvas().focus();
    return new Promise((resolve) => {
      const pressed = (event) => {
        if (event.key === "Escape") picking(null);
        else if (event.key === "Enter" && event.target === map.getCanvas()) picking(view.centre());
        else return;
        event.preventDefault();
        event.stopPropagation();
      };
      picking = (at) => {
        picking = null;
        told.remove();
        map.getCanvas().style.cursor = "";
        document.removeEventListener("keydown", pressed, true);
        resolve(at);
      };
      document.addEventListener("keydown", pressed, true);
    });
  }

  // -- markers ----------------------------------------------------------------------------------------------------------

  const markers = new Map();

  function mark(name, at) {
    markers.get(name)?.remove();
    markers.delete(name);
    if (!at) return;
    const element = document.createElement("div");
    element.className = `marker marker-${name}`;
    element.setAttribute("aria-hidden", "true"); // the panel says it in words
    markers.set(name, new library.Marker({ element }).setLngLat([at.lon, at.lat]).addTo(map));
  }

  const feature = (geometry, properties = {}) => ({ type: "Feature", geometry, properties });
  function draw(name, data) {
    drawn[name] = data;
    map.getSource(name)?.setData(data);
  }

  const view = {
    centre() {
      const { lng, lat } = map.getCenter().wrap();
      return { lat, lon: lng };
    },
    zoom: () => map.getZoom(),
    /** Of the tiles of stations that are shown. */
    tileZoom: () => Math.max(0, Math.min(MAX_TILE_ZOOM, Math.floor(map.getZoom()))),
    /** West, south, east, north; west > east crosses the antimeridian. */
    bounds() {
      const box = map.getBounds();
      if (box.getEast() - box.getWest() >= 360) return [-180, box.getSouth(), 180, box.getNorth()];
      const turned = (lon) => ((((lon + 180) % 360) + 360) % 360) - 180;
      return [turned(box.getWest()), box.getSouth(), turned(box.getEast()), box.getNorth()];
    },
    flyTo: ({ lat, lon }, zoom = Math.max(map.getZoom(), CLOSE_ZOOM)) => map.easeTo({ center: [lon, lat], zoom, duration: calm() ? 0 : 500 }),
    jumpTo: ({ lat, lon, zoom }) => map.jumpTo({ center: [lon, lat], zoom }),
    fit: ([west, south, east, north]) =>
      map.fitBounds([[west, south], [east < west ? east + 360 : east, north]], { padding: 48, maxZoom: CLOSE_ZOOM, duration: calm() ? 0 : 500 }),
    zoomBy: (steps) => map.zoomTo(map.getZoom() + steps, { duration: calm() ? 0 : 200 }),
    showRoute: (line) => draw("route", line ? feature(line) : NOTHING),
    showArea: (geometry) => draw("area", geometry ? feature(geometry) : NOTHING),
    showStations: (some) =>
      draw("listed", {
        type: "FeatureCollection",
        features: some.map(({ id, lat, lon, label }) => feature({ type: "Point", coordinates: [lon, lat] }, { id, label: String(label) })),
      }),
    mark,
    pickPoint,
    onStations: (listener) => onStations.add(listener),
    onMoved: (listener) => map.on("moveend", listener),
    refreshTiles,
    refreshAll,
    setFilters(filters) {
      now.filters = filters;
      map.getSource(SOURCE)?.setTiles([tilesUrl()]);
    },
    setTheme(theme) {
      if (theme === now.theme) return;
      now.theme = theme;
      if (map.getSource(SOURCE)) repaint();
    },
    setUnits: (units) => map._controls?.find((one) => one instanceof library.ScaleControl)?.setUnit(units),
    resize: () => map.resize(),
    library: map, // for tests
  };
  return view;
}

/** What a style from elsewhere labels with: its glyphs may hold no other. */
function fontOf({ glyphs, layers }) {
  const fonts = layers.map(({ layout }) => layout?.["text-font"]).filter((font) => Array.isArray(font) && font.every((name) => !name.includes("literal")));
  return (glyphs && fonts[0]) || LOCAL_FONT;
}

const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
