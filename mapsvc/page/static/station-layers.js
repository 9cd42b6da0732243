// Stations on the map: colour and sign tell the same (status, for the filters chosen), size tells the power.

export const SOURCE = "stations";
export const TILES = "/v1/tiles/stations/{z}/{x}/{y}.mvt";
export const MAX_TILE_ZOOM = 14;
export const FIRST_STATION_ZOOM = 11; // aggregates below
export const CLICKABLE = ["stations", "aggregates"];

/** The values of `status` in a tile, best first where several stand together. */
export const STATUSES = ["unknown", "free", "busy", "out_of_service"];
const COLOURS = {
  light: { free: "#14783c", busy: "#b45309", out_of_service: "#b3261e", unknown: "#5f6b7a", ring: "#ffffff" },
  dark: { free: "#2fb35f", busy: "#f0a030", out_of_service: "#f2665c", unknown: "#9aa7b8", ring: "#10151c" },
};

const byStatus = (values) => ["match", ["get", "status"], 1, values.free, 2, values.busy, 3, values.out_of_service, values.unknown];
const RADIUS = ["interpolate", ["linear"], ["get", "kw"], 0, 7, 22, 8, 150, 11, 350, 14]; // pixels
const scaled = (value, factor) => ["*", factor, value];
const AT_ZOOMS = (value) => [
  "interpolate", ["linear"], ["zoom"], 11, scaled(value, 0.6), 14, scaled(value, 0.95), 17, scaled(value, 1.3),
];

/** 931, 1.9k, 24k: a circle holds no more. */
const short = (count) => [
  "step", count, ["to-string", count],
  1000, ["concat", ["to-string", ["/", ["floor", ["/", count, 100]], 10]], "k"],
  10000, ["concat", ["to-string", ["floor", ["/", count, 1000]]], "k"],
];

export const stationSource = (tiles) => ({ type: "vector", tiles: [tiles], minzoom: 0, maxzoom: MAX_TILE_ZOOM });

/** Layers from below to above. */
export function stationLayers(theme) {
  const colours = COLOURS[theme];
  const share = ["/", ["get", "free"], ["max", 1, ["+", ["get", "free"], ["get", "busy"], ["get", "out_of_service"], ["get", "unknown"]]]];
  const total = ["+", ["get", "free"], ["get", "busy"], ["get", "out_of_service"], ["get", "unknown"]];
  const isUnknown = ["==", ["get", "unknown"], total];
  return [
    {
      id: "aggregates", type: "circle", source: SOURCE, "source-layer": "aggregates", maxzoom: FIRST_STATION_ZOOM,
      paint: {
        "circle-radius": ["interpolate", ["linear"], ["log10", ["max", 1, ["get", "count"]]], 0, 14, 1, 16, 2, 19, 4, 24],
        "circle-color": [
          "case", isUnknown, colours.unknown,
          ["interpolate", ["linear"], share, 0, colours.out_of_service, 0.25, colours.busy, 0.6, colours.free],
        ],
        "circle-opacity": 0.92, "circle-stroke-color": colours.ring, "circle-stroke-width": 1.5,
      },
    },
    {
      id: "aggregate-counts", type: "symbol", source: SOURCE, "source-layer": "aggregates", maxzoom: FIRST_STATION_ZOOM,
      layout: {
        "text-field": ["format", short(["get", "free"]), { "font-scale": 1.15 }, "\n", {}, ["concat", "/", short(total)], { "font-scale": 0.85 }],
        "text-size": 11, "text-line-height": 1, "text-font": ["sans-serif"], "text-allow-overlap": false, "text-padding": 0,
        "symbol-sort-key": ["-", 0, total],
      },
      paint: { "text-color": theme === "dark" ? "#10151c" : "#ffffff" },
    },
    {
      id: "stations", type: "circle", source: SOURCE, "source-layer": "stations", minzoom: FIRST_STATION_ZOOM,
      layout: { "circle-sort-key": ["case", ["==", ["get", "status"], 1], 2, ["==", ["get", "status"], 2], 1, 0] },
      paint: {
        "circle-radius": AT_ZOOMS(RADIUS), "circle-color": byStatus(colours),
        "circle-stroke-color": colours.ring, "circle-stroke-width": 1.5,
      },
    },
    {
      id: "station-signs", type: "symbol", source: SOURCE, "source-layer": "stations", minzoom: FIRST_STATION_ZOOM,
      layout: {
        "icon-image": byStatus({ free: "sign-free", busy: "sign-busy", out_of_service: "sign-out_of_service", unknown: "sign-unknown" }),
        "icon-size": AT_ZOOMS(["/", RADIUS, 14]), "icon-allow-overlap": true, "icon-ignore-placement": true,
        "symbol-sort-key": ["case", ["==", ["get", "status"], 1], 2, ["==", ["get", "status"], 2], 1, 0],
      },
    },
  ];
}

export const signColour = (theme) => (theme === "dark" ? "#10151c" : "#ffffff");

const SIGN_PX = 24;
/** Strokes in a square of 24: a tick, a bar, a cross, a question mark. */
export const STROKES = {
  free: "M6 12.5 10.5 17 18 7.5",
  busy: "M6.5 12H17.5",
  out_of_service: "M7.5 7.5 16.5 16.5 M16.5 7.5 7.5 16.5",
  unknown: "M8.5 9.2a3.6 3.6 0 1 1 5.2 3.2c-1.2.6-1.7 1.2-1.7 2.2 M12 18.2v.1",
};

export const SIGNS = Object.keys(STROKES);

/** The picture of a sign, for `map.addImage`. */
export function drawSign(status, theme, ratio = 2) {
  const canvas = new OffscreenCanvas(SIGN_PX * ratio, SIGN_PX * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  Object.assign(pen, { strokeStyle: signColour(theme), lineWidth: 3, lineCap: "round", lineJoin: "round" });
  pen.stroke(new Path2D(STROKES[status]));
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}
