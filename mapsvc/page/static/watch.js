// One EventSource for the few stations that the card shows or that one wants to be told about.

const AGAIN_S = [2, 5, 15, 60]; // after a refusal; a connection that was cut, EventSource mends itself

/** @param {(id: string, summary: object|null, isFirst: boolean) => void} onStation null: it is gone; first: not a change, how it is */
export function createWatch(onStation) {
  const wanted = new Map(); // why -> ids
  let source = null, shown = "", refused = 0, again = 0;

  function connect() {
    window.clearTimeout(again);
    source?.close();
    source = null;
    if (!shown) return;
    const mine = (source = new EventSource(`/v1/live?stations=${shown}`));
    const tell = (isFirst) => ({ data }) => {
      refused = 0;
      const { stations = [], ids = [] } = JSON.parse(data);
      for (const station of stations) onStation(station.id, station, isFirst);
      for (const id of ids) onStation(id, null, false);
    };
    mine.addEventListener("snapshot", tell(true));
    mine.addEventListener("change", tell(false));
    mine.addEventListener("leave", tell(false));
    mine.onerror = () => {
      if (mine !== source || mine.readyState !== EventSource.CLOSED) return;
      again = window.setTimeout(connect, 1000 * AGAIN_S[Math.min(refused++, AGAIN_S.length - 1)]);
    };
  }

  return {
    /** The ids that `why` ("card", "alerts") wants to hear of, in place of those before. */
    follow(why, ids) {
      wanted.set(why, ids);
      const all = [...new Set([...wanted.values()].flat())].sort().map(encodeURIComponent).join(",");
      if (all === shown) return;
      shown = all;
      connect();
    },
  };
}
