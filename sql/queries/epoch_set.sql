-- Moves to epoch $1 if that is ahead. No row: another rebuild was faster.
UPDATE cache_epoch SET epoch = $1::bigint WHERE epoch < $1::bigint RETURNING epoch
