-- Statuses of any shards through the door (functions/apply_statuses.sql); sql.door gives it parallel arrays: $1 shard,
-- $2 num … $12 confirm_after_ms, $13 whether to wait for the shard (then all rows are of one), $14 the clock or NULL.
-- Rows come back by what became of them, so that a thousand of them are a few rows of numbers: ords are places in the
-- arrays. Every place is in exactly one of them.
SELECT outcome, written, array_agg(ord) AS ords
FROM apply_statuses($1::smallint[], $2::bigint[], $3::smallint[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[],
                    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean, $14::bigint)
GROUP BY outcome, written
