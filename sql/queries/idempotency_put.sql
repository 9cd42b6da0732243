-- Stores an answer. $1 sha256 of the API key, $2 Idempotency-Key, $3 hash of the request, $4 status, $5 response.
-- The first one stays: no row returned means that another request of the same key was faster.
INSERT INTO idempotency (key_hash, idem_key, request_hash, status, response, created_ms)
VALUES ($1::bytea, $2::text, $3::bytea, $4::integer, $5::bytea, clock_ms())
ON CONFLICT (key_hash, idem_key) DO NOTHING
RETURNING created_ms
