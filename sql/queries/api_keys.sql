-- All keys, for people and for a cache of them. The hash identifies a key; the key itself is not stored.
SELECT hash, label, parties, created_at, revoked_at FROM api_key ORDER BY created_at, hash
