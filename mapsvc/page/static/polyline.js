// Encoded polylines (https://developers.google.com/maps/documentation/utilities/polylinealgorithm), here of precision 6.

/** @returns {{type: "LineString", coordinates: [number, number][]}} GeoJSON: lon before lat */
export function lineOf(encoded, precision = 6) {
  const factor = 10 ** precision;
  const coordinates = [];
  let at = 0, lat = 0, lon = 0;
  const next = () => {
    let value = 0, shift = 0, byte;
    do {
      byte = encoded.charCodeAt(at++) - 63;
      value |= (byte & 31) << shift;
      shift += 5;
    } while (byte >= 32);
    return value & 1 ? ~(value >> 1) : value >> 1;
  };
  while (at < encoded.length) {
    lat += next();
    lon += next();
    coordinates.push([lon / factor, lat / factor]);
  }
  return { type: "LineString", coordinates };
}

/** West, south, east, north of any GeoJSON coordinates. */
export function boxOf(coordinates) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  const look = (one) => {
    if (Array.isArray(one[0])) return one.forEach(look);
    box[0] = Math.min(box[0], one[0]);
    box[1] = Math.min(box[1], one[1]);
    box[2] = Math.max(box[2], one[0]);
    box[3] = Math.max(box[3], one[1]);
  };
  look(coordinates);
  return box;
}
