-- Stations as they are now, removed ones too, with their EVSEs' states as parallel arrays in order of slot.
-- $1 nums. The relay reads them for outbox rows of kind t and x; every record carries its own n, so reading a later
-- state than the outbox row's is harmless. A station without EVSEs has empty arrays.
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
WHERE s.num = ANY ($1::bigint[])
