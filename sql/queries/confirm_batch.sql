-- Writes confirmations held in memory (functions/confirm_batch.sql). $1 shard, then parallel arrays: num, slot, the
-- status confirmed, k1, k2, seen_ms.
SELECT confirm_batch($1::smallint, $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
                     $7::bigint[]) AS written
