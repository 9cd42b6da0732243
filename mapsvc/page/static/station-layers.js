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

export const LOCAL_FONT = ["sans-serif"]; // of the machine; a style with glyphs of its own has others

/** Layers from below to above. */
export function stationLayers(theme, font = LOCAL_FONT) {
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
        "text-size": 11, "text-line-height": 1, "text-font": font, "text-allow-overlap": false, "text-padding": 0,
        "symbol-sort-key": ["-", 0, total],
      },
      paint: { "text-color": colours.ring },
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
      paint: { "icon-color": colours.ring },
    },
  ];
}

const SIGN_PX = 24;
/** Strokes in a square of 24: a tick, a bar, a cross, a question mark. */
export const STROKES = {
  free: "M6 12.5 10.5 17 18 7.5",
  busy: "M6.5 12H17.5",
  out_of_service: "M7.5 7.5 16.5 16.5 M16.5 7.5 7.5 16.5",
  unknown: "M8.5 9.2a3.6 3.6 0 1 1 5.2 3.2c-1.2.6-1.7 1.2-1.7 2.2 M12 18.2v.1",
};

export const SIGNS = Object.keys(STROKES);

const RATIO = 2; // of the picture's pixels to the map's
const REACH_PX = 8, EDGE = 0.25; // as glyphs are told: how far distances go, and the part of that beyond the edge
const ROW = SIGN_PX * RATIO + 2 * REACH_PX; // of the picture with a margin
const AROUND = []; // steps in it, the nearest first, and how far they lead
for (let dy = -REACH_PX; dy <= REACH_PX; dy++) for (let dx = -REACH_PX; dx <= REACH_PX; dx++) AROUND.push([dy * ROW + dx, Math.hypot(dx, dy)]);
AROUND.sort((a, b) => a[1] - b[1]);
const STEPS = Int16Array.from(AROUND, ([step]) => step), AWAY = Float32Array.from(AROUND, ([, away]) => away);

/**
 * The picture of a sign, for `map.addImage(…, {sdf: true, pixelRatio: RATIO})`: distances instead of colours, so that it is
 * drawn by the program that draws the labels. Compiling another one costs more than all the rest of the map's first picture.
 */
export function drawSign(status) {
  const size = SIGN_PX * RATIO;
  const canvas = new OffscreenCanvas(size, size);
  const pen = canvas.getContext("2d", { willReadFrequently: true }); // in memory: fetching it from a graphics card is slow
  pen.scale(RATIO, RATIO);
  Object.assign(pen, { lineWidth: 3, lineCap: "round", lineJoin: "round" });
  pen.stroke(new Path2D(STROKES[status]));
  const { data } = pen.getImageData(0, 0, size, size);
  const inside = new Uint8Array(ROW * ROW);
  const at = (index) => (Math.floor(index / size) + REACH_PX) * ROW + (index % size) + REACH_PX;
  for (let index = 0; index < size * size; index++) inside[at(index)] = data[4 * index + 3] > 127 ? 1 : 0;
  const told = new Uint8ClampedArray(4 * size * size);
  for (let index = 0; index < size * size; index++) {
    const here = at(index);
    let k = 0; // to the other side of the edge
    while (k < STEPS.length - 1 && inside[here + STEPS[k]] === inside[here]) k++;
    const outwards = inside[here] ? 0.5 - AWAY[k] : AWAY[k] - 0.5;
    told[4 * index + 3] = 255 - 255 * (outwards / REACH_PX + EDGE);
  }
  return { picture: { width: size, height: size, data: told }, options: { sdf: true, pixelRatio: RATIO } };
}
