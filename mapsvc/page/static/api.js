// Requests to the API: the newest of a kind cancels those before it, and problems are errors with a message.

const PATIENCE_MS = 20_000;
let skew_ms = 0; // the server's clock less ours: ages are by the server's

/** RFC 9457, as far as it was told. `status` 0: nothing answered. */
export class Problem extends Error {
  constructor(status, { detail = "", errors = [] } = {}, retry_after_s = null) {
    super(detail || String(status));
    Object.assign(this, { status, errors, retry_after_s });
  }
}

/** The time as the server has it, ms. */
export const serverNow = () => Date.now() + skew_ms;

async function ask(path, { signal, ...options } = {}) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: signal ? AbortSignal.any([signal, patience]) : patience });
    followClock(answer.headers.get("Date"));
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0);
  }
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told, Number(answer.headers.get("Retry-After")) || null);
}

/** Its Date is of whole seconds, and was on its way: small differences are none. */
function followClock(date) {
  const skew = date ? Date.parse(date) - Date.now() : 0;
  skew_ms = Math.abs(skew) > 3000 ? skew : 0;
}

export const get = (path, query = {}, signal = undefined) => {
  const told = new URLSearchParams(query instanceof URLSearchParams ? query : Object.entries(query)).toString();
  return ask(told ? `${path}?${told}` : path, { signal });
};

export const post = (path, body, query = "", signal = undefined) =>
  ask(query.toString() ? `${path}?${query}` : path, {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal,
  });

/**
 * Of several asked for in a row only the last is answered; the others are undefined.
 * @returns {{(request: (signal: AbortSignal) => Promise<any>): Promise<any>, stop(): void}}
 */
export function newest() {
  let now = null;
  const run = async (request) => {
    now?.abort();
    const mine = (now = new AbortController());
    try {
      const answer = await request(mine.signal);
      return mine === now ? answer : undefined;
    } catch (error) {
      if (mine !== now || mine.signal.aborted) return undefined;
      throw error;
    }
  };
  run.stop = () => (now?.abort(), (now = null));
  return run;
}

/** Plain words for a problem that is nobody's fault, or ours. */
export function inWords(problem, t) {
  if (!(problem instanceof Problem)) throw problem;
  const n = problem.retry_after_s ?? 5;
  if (problem.status === 0) return t("error.network");
  if (problem.status === 429) return t("error.tooMany", { n });
  if (problem.status === 503) return t("error.busy", { n });
  return t("error.other", { status: String(problem.status) });
}

/** Filters, and what else a request has. */
export const joined = (filters, more) => new URLSearchParams([...Object.entries(more), ...filters]);
