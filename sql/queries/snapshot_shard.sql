-- Every station of one shard that is not removed, in order of cell and num: what a rebuild of Redis and a replica without
-- Redis load. $1 shard. Columns as in stations_by_num.
-- Run it through a server-side cursor in one REPEATABLE READ transaction with shard_heads: it then is the state at
-- exactly those heads. The index station_snapshot gives the order: no sort, so rows flow from the first moment on.
SELECT s.num, s.shard, s.n, s.key, s.party, s.location_id, s.doc::text AS doc, s.publish, s.removed, s.last_updated_ms,
       s.cell, ST_Y(s.geom) AS lat, ST_X(s.geom) AS lon,
       e.slots, e.statuses, e.ns, e.changed_ms, e.seen_ms
FROM station AS s
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(o.slot), '{}') AS slots, coalesce(array_agg(o.status), '{}') AS statuses,
           coalesce(array_agg(o.n), '{}') AS ns, coalesce(array_agg(o.changed_ms), '{}') AS changed_ms,
           coalesce(array_agg(o.seen_ms), '{}') AS seen_ms
    FROM (SELECT slot, status, n, changed_ms, seen_ms FROM evse WHERE num = s.num ORDER BY slot) AS o
) AS e
WHERE s.shard = $1::smallint AND NOT s.removed
ORDER BY s.cell, s.num
