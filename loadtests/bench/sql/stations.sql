-- Every station that the public may see, with its EVSEs' states as parallel arrays: what peers are loaded with, and what
-- the oracle knows. Read in one snapshot, through a cursor. 7 is REMOVED (geo.station.Status): not shown, not counted.
SELECT s.num, s.party, s.location_id, ST_Y(s.geom) AS lat, ST_X(s.geom) AS lon, s.doc::text AS doc,
       e.slots, e.statuses, e.changed_ms, e.seen_ms
FROM station AS s
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(slot), '{}') AS slots, coalesce(array_agg(status), '{}') AS statuses,
           coalesce(array_agg(coalesce(changed_ms, 0)), '{}') AS changed_ms,
           coalesce(array_agg(coalesce(seen_ms, 0)), '{}') AS seen_ms
    FROM evse WHERE num = s.num AND NOT gone AND status <> 7
) AS e
WHERE s.publish AND NOT s.removed
ORDER BY s.num
