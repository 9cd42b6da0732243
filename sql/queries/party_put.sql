-- Creates or changes a party. $1 id, $2 kind, $3 name, $4 order_by, $5 ttl_s (NULL: no live status).
INSERT INTO party (id, kind, name, order_by, ttl_s)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::integer)
ON CONFLICT (id) DO UPDATE
SET kind = excluded.kind, name = excluded.name, order_by = excluded.order_by, ttl_s = excluded.ttl_s
