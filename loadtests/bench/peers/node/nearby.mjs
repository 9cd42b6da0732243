// Nearby by geokdbush, on Node's own HTTP server: node nearby.mjs PORT summaries.ndjson
// Summaries stay the bytes that they are; an answer copies twenty of them and writes the distances between.
import { createServer } from 'node:http';
import { around, distance } from 'geokdbush';
import KDBush from 'kdbush';
import { listen, readStations } from './stations.mjs';

const [port, path] = process.argv.slice(2);
const lats = [], lons = [], starts = [], ends = [];
const bytes = readStations(path, (station, from, end) => {
  lats.push(station.lat);
  lons.push(station.lon);
  starts.push(from);
  ends.push(end - 1); // without the closing brace
});
const index = new KDBush(lats.length);
for (let i = 0; i < lats.length; i++) index.add(lons[i], lats[i]);
index.finish();

const HEAD = Buffer.from('{"stations":['), TAIL = Buffer.from(']}'), COMMA = Buffer.from(',');

function body(lat, lon, limit, radius) {
  const parts = [HEAD];
  for (const i of around(index, lon, lat, limit, radius / 1000)) {
    if (parts.length > 1) parts.push(COMMA);
    const metres = 1000 * distance(lon, lat, lons[i], lats[i]);
    parts.push(bytes.subarray(starts[i], ends[i]), Buffer.from(`,"distance_m":${metres.toFixed(1)}}`, 'latin1'));
  }
  parts.push(TAIL);
  return Buffer.concat(parts);
}

listen(createServer((request, response) => {
  const query = new URLSearchParams(request.url.slice(request.url.indexOf('?') + 1));
  const answer = body(+query.get('lat'), +query.get('lon'), +query.get('limit'), +(query.get('radius_m') ?? 10000));
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': answer.length });
  response.end(answer);
}), +port);
