-- The relay's next rows of many shards, packed: statuses are nearly all that there is, and a row each costs more to fetch
-- than all else that the relay does with it. $1 shards, $2 the last n carried of each, $3 how many rows of each at most.
-- For each shard: rows, how many there are; first_n (NULL: none), last_n, clock_ms, the latest created_ms;
-- whole: one of them is no status, so read them by outbox_read; packed: each row 44 bytes, big-endian, in order of n: num 8,
-- n 8, changed_ms 8, seen_ms 8 (0: NULL), cell 8 (where the station's states belong now; 0: it is not to be shown), slot 2,
-- status 2.
-- n is commit order and gapless, as in outbox_read. Promise R5.
SELECT w.shard, b.rows, b.first_n, b.last_n, b.clock_ms, b.whole, b.packed
FROM unnest($1::smallint[], $2::bigint[]) AS w (shard, n)
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, min(o.n) AS first_n, max(o.n) AS last_n, max(o.created_ms) AS clock_ms,
           coalesce(bool_or(o.kind <> 's'), false) AS whole,
           string_agg(int8send(o.num) || int8send(o.n) || int8send(coalesce(o.changed_ms, 0))
                      || int8send(coalesce(o.seen_ms, 0))
                      || int8send(CASE WHEN s.publish AND NOT s.removed THEN s.cell ELSE 0 END)
                      || int2send(o.slot) || int2send(o.status), '' ORDER BY o.n) AS packed
    FROM (
        SELECT n, kind, num, slot, status, changed_ms, seen_ms, created_ms
        FROM outbox
        WHERE shard = w.shard AND n > w.n
        ORDER BY n
        LIMIT $3::integer
    ) AS o
    -- LIMIT 1 keeps this a look-up by key for each row: a planner that cannot see $3 may choose to hash all stations.
    LEFT JOIN LATERAL (SELECT publish, removed, cell FROM station WHERE num = o.num LIMIT 1) AS s ON true
) AS b
