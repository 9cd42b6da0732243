-- The database's clock in milliseconds since the epoch: the one clock that all processes agree on.
-- Judges source_ts that lie in the future, and says how fresh a shard is. Moves on within a transaction.
CREATE OR REPLACE FUNCTION clock_ms() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
