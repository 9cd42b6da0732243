// MapLibre, on its way before anything else is.
//
// Its worker takes longest to begin (half a megabyte to be read), and MapLibre would begin it only once it is there itself: a
// quarter of a second later. So it is begun here, and handed over when MapLibre makes its first one.

const WORKER = "/page/lib/maplibre-gl-worker.mjs";

const RealWorker = window.Worker;
const begun = new RealWorker(WORKER, { type: "module" });
window.Worker = function Worker() {
  window.Worker = RealWorker;
  return begun;
};

export const library = import("/page/lib/maplibre-gl.mjs").then((maplibre) => {
  maplibre.setWorkerUrl(WORKER);
  maplibre.prewarm();
  return maplibre;
});
