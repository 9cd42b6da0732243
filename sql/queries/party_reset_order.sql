-- Forgets the ordering keys of party $2's EVSEs in shard $1 (functions/reset_order.sql).
SELECT reset_order($1::smallint, $2::text) AS written
