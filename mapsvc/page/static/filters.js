// Filters as the API takes them: the same on tiles, lists, live streams and routes.

/** @returns {URLSearchParams} in a fixed order, so that equal filters make equal URLs (and one tile in any cache) */
export function filterQuery({ connector, min_power_kw, max_power_kw, available, open_now, operator }) {
  const query = new URLSearchParams();
  if (connector.length) query.set("connector", [...connector].sort().join(","));
  if (min_power_kw) query.set("min_power_kw", String(min_power_kw));
  if (max_power_kw) query.set("max_power_kw", String(max_power_kw));
  if (available) query.set("available", String(available));
  if (open_now) query.set("open_now", "true");
  if (operator.length) query.set("operator", [...operator].sort().join(","));
  return query;
}

/** How many are set. */
export const filterCount = ({ connector, min_power_kw, max_power_kw, available, open_now, operator }) =>
  [connector.length, min_power_kw || max_power_kw, available, open_now, operator.length].filter(Boolean).length;

/** `path?query`, or the path alone. */
export const withFilters = (path, filters, more = {}) => {
  const query = new URLSearchParams([...Object.entries(more), ...filterQuery(filters)]).toString();
  return query ? `${path}?${query}` : path;
};
