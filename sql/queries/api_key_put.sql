-- A new key. $1 sha256 of it, $2 label, $3 parties.
INSERT INTO api_key (hash, label, parties) VALUES ($1::bytea, $2::text, $3::text[])
