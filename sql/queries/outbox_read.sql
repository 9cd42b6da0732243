-- The relay's next rows of one shard. $1 shard, $2 the last n that it carried, $3 how many at most.
-- n is commit order and gapless (functions/apply_batch.sql): a first row other than $2 + 1 means that the rows between
-- went with their partition, and that Redis must be rebuilt. Promise R5.
-- slot, status, changed_ms and seen_ms are NULL for kinds t and x: the relay reads those stations as they are now.
-- cell: where a station's states belong now; NULL: the station is not to be shown.
SELECT o.n, o.kind, o.num, o.slot, o.status, o.changed_ms, o.seen_ms, o.created_ms,
       CASE WHEN s.publish AND NOT s.removed THEN s.cell END AS cell
FROM (
    SELECT n, kind, num, slot, status, changed_ms, seen_ms, created_ms
    FROM outbox
    WHERE shard = $1::smallint AND n > $2::bigint
    ORDER BY n
    LIMIT $3::integer
) AS o
-- LIMIT 1 keeps this a look-up by key for each row: a planner that cannot see $3 may choose to hash all stations.
LEFT JOIN LATERAL (SELECT publish, removed, cell FROM station WHERE num = o.num LIMIT 1) AS s ON true
ORDER BY o.n
