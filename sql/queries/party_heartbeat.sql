-- The parties $1 confirm at $2 (database clock, ms) all that they last reported. Never goes back. Returns the parties hit.
UPDATE party SET heartbeat_ms = greatest(heartbeat_ms, $2::bigint) WHERE id = ANY ($1::text[])
RETURNING id, heartbeat_ms
