-- The database's clock, ms since the epoch: what source_ts and heartbeats are judged by.
SELECT clock_ms() AS clock_ms
