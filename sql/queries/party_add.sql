-- Creates the parties that do not exist yet, with the default rules. $1 ids, $2 kind, $3 ttl_s. Returns those created.
INSERT INTO party (id, kind, ttl_s)
SELECT DISTINCT p.id, $2::text, $3::integer FROM unnest($1::text[]) AS p (id)
ON CONFLICT (id) DO NOTHING
RETURNING id
