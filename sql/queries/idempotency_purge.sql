-- Forgets answers older than $1 ms (24 h).
DELETE FROM idempotency WHERE created_ms < clock_ms() - $1::bigint
