// Clustered vector tiles by supercluster and vt-pbf: node clusters.mjs PORT summaries.ndjson
// /build?zoom=6&radius=300 makes the index of one zoom anew (the radius decides how many clusters a tile has);
// /tiles/z/x/y renders a tile; /cached/z/x/y keeps what it rendered.
// A cluster carries what ours do: stations, EVSEs by availability, the largest power, the best free station.
import { createServer } from 'node:http';
import Supercluster from 'supercluster';
import vtpbf from 'vt-pbf';
import { listen, readStations } from './stations.mjs';

const [port, path] = process.argv.slice(2);
const points = [];
readStations(path, (station) => {
  const { available, busy, out_of_service, unknown } = station.evses;
  const max_kw = Math.floor(station.max_power_kw ?? 0);
  const id = points.length;
  points.push({
    type: 'Feature', id, geometry: { type: 'Point', coordinates: [station.lon, station.lat] },
    properties: {
      count: 1, free: available, busy, out_of_service, unknown, max_kw,
      best_id: available > 0 ? id : -1, best_kw: available > 0 ? max_kw : -1,
    },
  });
});

let index;
const kept = new Map();

function build(zoom, radius) {
  index = new Supercluster({
    minZoom: zoom, maxZoom: zoom, radius, extent: 4096,
    map: (own) => ({ ...own }),
    reduce: (sum, one) => {
      sum.count += one.count;
      sum.free += one.free;
      sum.busy += one.busy;
      sum.out_of_service += one.out_of_service;
      sum.unknown += one.unknown;
      if (one.max_kw > sum.max_kw) sum.max_kw = one.max_kw;
      if (one.best_kw > sum.best_kw) { sum.best_kw = one.best_kw; sum.best_id = one.best_id; }
    },
  }).load(points);
  kept.clear();
}

function render(z, x, y) {
  const tile = index.getTile(z, x, y);
  return tile ? Buffer.from(vtpbf.fromGeojsonVt({ aggregates: tile }, { version: 2, extent: 4096 })) : Buffer.alloc(0);
}

function answer(url) {
  const [where, query] = url.split('?');
  const [, kind, z, x, y] = where.split('/');
  if (kind === 'build') {
    const wanted = new URLSearchParams(query);
    build(+wanted.get('zoom'), +wanted.get('radius'));
    return Buffer.from('built');
  }
  if (kind !== 'cached') return render(+z, +x, +y);
  let tile = kept.get(where);
  if (tile === undefined) kept.set(where, tile = render(+z, +x, +y));
  return tile;
}

listen(createServer((request, response) => {
  const tile = answer(request.url);
  response.writeHead(200, { 'Content-Type': 'application/vnd.mapbox-vector-tile', 'Content-Length': tile.length });
  response.end(tile);
}), +port);
