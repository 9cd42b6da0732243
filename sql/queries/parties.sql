-- Every party with its rules.
SELECT id, kind, name, order_by, ttl_s, heartbeat_ms FROM party ORDER BY id
