// Reads tiles from stdin, each a 4-byte big-endian length and its bytes; prints one line of JSON per tile:
// {"layers": {name: {version, extent, features: [{id, type, properties, points: [[x, y]]}]}}} or {"error": text}.
import { VectorTile } from '@mapbox/vector-tile';
import { PbfReader } from 'pbf';

function decode(bytes) {
  const layers = {};
  for (const [name, layer] of Object.entries(new VectorTile(new PbfReader(bytes)).layers)) {
    const features = Array.from({ length: layer.length }, (_, i) => {
      const feature = layer.feature(i);
      const points = feature.loadGeometry().flat().map(({ x, y }) => [x, y]);
      return { id: feature.id, type: feature.type, properties: feature.properties, points };
    });
    layers[name] = { version: layer.version, extent: layer.extent, features };
  }
  return { layers };
}

let pending = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  pending = Buffer.concat([pending, chunk]);
  while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
    const end = 4 + pending.readUInt32BE(0);
    let answer;
    try {
      answer = decode(pending.subarray(4, end));
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
    pending = pending.subarray(end);
  }
}
