-- Drops what is past its keep: $1 ms of outbox (at least an hour), $2 ms of history (functions/partitions.sql).
SELECT dropped FROM drop_old_partitions(clock_ms(), $1::bigint, $2::bigint) AS dropped
