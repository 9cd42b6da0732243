-- What an importer compares a document with. $1 station keys. Slots of all EVSEs that the station ever had, gone ones
-- too: a slot is never reused, and a uid that comes back gets its own again.
SELECT s.key, s.num, s.n, s.shard, s.doc::text AS doc, s.publish, s.removed, s.last_updated_ms, s.cell,
       e.slots, e.uids, e.uid_keys, e.evse_ids, e.gone
FROM station AS s
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(o.slot), '{}') AS slots, coalesce(array_agg(o.uid), '{}') AS uids,
           coalesce(array_agg(o.uid_key), '{}') AS uid_keys, coalesce(array_agg(o.evse_id), '{}') AS evse_ids,
           coalesce(array_agg(o.gone), '{}') AS gone
    FROM (SELECT slot, uid, uid_key, evse_id, gone FROM evse WHERE num = s.num ORDER BY slot) AS o
) AS e
WHERE s.key = ANY ($1::text[])
