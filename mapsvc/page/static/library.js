// MapLibre, on its way before anything else is: its worker takes longest to begin.

export const library = import("/page/lib/maplibre-gl.mjs").then((maplibre) => {
  maplibre.prewarm();
  return maplibre;
});
