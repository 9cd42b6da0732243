// Reads summaries.ndjson: one station a line. Hands out each line's object and where its bytes stand in the file.
import { readFileSync } from 'node:fs';

export function readStations(path, take) {
  const bytes = readFileSync(path);
  let from = 0;
  while (from < bytes.length) {
    const end = bytes.indexOf(10, from);
    take(JSON.parse(bytes.toString('utf8', from, end)), from, end);
    from = end + 1;
  }
  return bytes;
}

export function listen(server, port) {
  server.keepAliveTimeout = 3600_000;
  server.requestTimeout = 0;
  server.listen(port, '127.0.0.1');
}
