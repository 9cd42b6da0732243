-- A bare guarded update of many rows: no resolution, no history, no outbox, no numbers. $1 num, $2 slot, $3 status, $4 k1,
-- $5 seen_ms, parallel arrays.
UPDATE bench.bare AS b
SET status = u.status, k1 = u.k1, seen_ms = u.seen_ms
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[])
     AS u (num, slot, status, k1, seen_ms)
WHERE b.num = u.num AND b.slot = u.slot AND b.k1 <= u.k1
