-- The parties that a key may write for. $1 sha256 of the key. No row: unknown or revoked. Promise R10.
SELECT label, parties FROM api_key WHERE hash = $1::bytea AND revoked_at IS NULL
