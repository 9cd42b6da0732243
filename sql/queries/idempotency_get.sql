-- The stored answer of a request. $1 sha256 of the API key, $2 Idempotency-Key. The caller compares request_hash: the
-- same Idempotency-Key with another body is the client's mistake.
SELECT request_hash, status, response, created_ms
FROM idempotency
WHERE key_hash = $1::bytea AND idem_key = $2::text
