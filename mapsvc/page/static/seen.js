// Stations that were shown lately, by name: what a journey may begin or end at. The API has no search by text.

const MOST = 200;

export function createSeen() {
  const stations = new Map(); // the latest last
  let opened = null;

  function add(some) {
    for (const { id, name, city, address, operator, lat, lon } of some) {
      if (!name) continue;
      stations.delete(id);
      stations.set(id, { id, name, city, address, operator, lat, lon });
    }
    while (stations.size > MOST) stations.delete(stations.keys().next().value);
  }

  return {
    add,
    open: (station) => (add([station]), (opened = station)),
    opened: () => opened,
    find: (id) => stations.get(id) ?? null,
    /** Labels that tell stations of the same name apart, the latest first. @returns {[string, object][]} */
    labelled() {
      const labels = new Map();
      for (const one of [...stations.values()].reverse()) {
        const label = [one.name, one.operator, one.address].filter(Boolean).join(", ");
        if (!labels.has(label)) labels.set(label, one);
      }
      return [...labels];
    },
  };
}
