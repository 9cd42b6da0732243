-- Revokes the key whose sha256 begins with the bytes $1. Returns those revoked now.
UPDATE api_key SET revoked_at = now()
WHERE substr(hash, 1, length($1::bytea)) = $1::bytea AND length($1::bytea) >= 4 AND revoked_at IS NULL
RETURNING hash, label
