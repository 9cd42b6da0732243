-- One active relay a shard: a session-level advisory lock on a direct connection. $1 shard. true: we have it.
-- It ends with the connection. A relay that lost it without knowing is fenced by Lua's from == head + 1.
SELECT pg_try_advisory_lock(x'72656c79'::integer, $1::integer) AS locked
