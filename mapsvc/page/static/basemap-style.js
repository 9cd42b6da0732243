// What lies below the stations: land, borders and names from the host's own tiles, roads from those of the routing graph.
// No glyphs URL: labels are drawn with the fonts of the machine.

const PALETTES = {
  light: {
    water: "#cfdfe9", land: "#f6f5f1", border: "#b9b4c4", label: "#4a5160", country: "#6d7280", halo: "#ffffffd9",
    motorway: "#e9b872", main: "#f0d9a8", minor: "#dedbd3", casing: "#c9b999",
  },
  dark: {
    water: "#0f1720", land: "#1a222c", border: "#46536a", label: "#aeb9c9", country: "#8592a6", halo: "#10151ccc",
    motorway: "#7d6237", main: "#57503f", minor: "#313b47", casing: "#10151c",
  },
};

const PLACES_ATTRIBUTION = "Natural Earth, GeoNames (CC BY 4.0)";
const MOTORWAY = 0, PRIMARY = 2, TERTIARY = 4; // road_class of the tiles of roads

export const waterColour = (theme) => PALETTES[theme].water;

/** @returns a style of MapLibre without stations, roads and names */
export function basemapStyle(theme, origin) {
  const p = PALETTES[theme];
  return {
    version: 8,
    sources: {
      basemap: {
        type: "vector", tiles: [`${origin}/page/basemap/{z}/{x}/{y}.mvt`], minzoom: 0, maxzoom: 6, attribution: PLACES_ATTRIBUTION,
      },
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": p.water } },
      { id: "land", type: "fill", source: "basemap", "source-layer": "land", paint: { "fill-color": p.land, "fill-antialias": false } },
      {
        id: "borders", type: "line", source: "basemap", "source-layer": "borders",
        paint: { "line-color": p.border, "line-width": ["interpolate", ["linear"], ["zoom"], 2, 0.6, 8, 1.4] }, // dashes take a program more
      },
    ],
  };
}

export const roadSource = (tiles, bounds, attribution) => ({ type: "vector", tiles, bounds, minzoom: 7, maxzoom: 14, attribution });

export function roadLayers(theme) {
  const p = PALETTES[theme];
  const road = (id, filter, minzoom, colour, widths) => ({
    id, type: "line", source: "roads", "source-layer": "edges", minzoom, filter,
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": colour, "line-width": ["interpolate", ["exponential", 1.5], ["zoom"], ...widths] },
  });
  const kind = ["get", "road_class"];
  return [
    road("roads-minor", [">", kind, TERTIARY], 12, p.minor, [12, 0.5, 14, 1.2, 18, 9]),
    road("roads-main", ["all", [">", kind, PRIMARY], ["<=", kind, TERTIARY]], 9, p.minor, [9, 0.6, 13, 2, 18, 13]),
    road("roads-large", ["all", [">", kind, MOTORWAY], ["<=", kind, PRIMARY]], 7, p.main, [7, 0.7, 12, 2.4, 18, 17]),
    road("roads-motorway", ["==", kind, MOTORWAY], 7, p.motorway, [7, 1, 12, 3.2, 18, 20]),
  ];
}

/** Names, which come when the stations are there: a driver waits for these, not for those. */
export function labelLayers(theme) {
  const p = PALETTES[theme];
  const font = ["sans-serif"];
  return [
    {
      id: "countries", type: "symbol", source: "basemap", "source-layer": "countries", maxzoom: 7,
      filter: ["<=", ["get", "rank"], ["step", ["zoom"], 20, 3, 60, 4, 120, 5, 300]],
      layout: {
        "text-field": ["get", "name"], "text-font": font, "text-size": ["interpolate", ["linear"], ["zoom"], 1, 10, 6, 15],
        "text-letter-spacing": 0.08, "text-transform": "uppercase", "text-max-width": 7, "symbol-sort-key": ["get", "rank"],
      },
      paint: { "text-color": p.country, "text-halo-color": p.halo, "text-halo-width": 1.2 },
    },
    {
      id: "places", type: "symbol", source: "basemap", "source-layer": "places", minzoom: 3,
      filter: [">=", ["get", "population"], ["step", ["zoom"], 3e6, 4, 1e6, 5, 4e5, 6, 1.5e5, 7, 6e4, 8, 2e4, 9, 5e3, 11, 0]],
      layout: {
        "text-field": ["get", "name"], "text-font": font,
        "text-size": ["interpolate", ["linear"], ["log10", ["max", 1e3, ["get", "population"]]], 3, 11, 5, 12.5, 7, 16],
        "text-max-width": 8, "text-padding": 6, "symbol-sort-key": ["-", 0, ["get", "population"]],
      },
      paint: { "text-color": p.label, "text-halo-color": p.halo, "text-halo-width": 1.4 },
    },
  ];
}
