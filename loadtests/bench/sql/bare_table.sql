-- The yardstick of ingest: EVSE states alone, in a table of their own with the same room for updates in place. Logged, as
-- the real one is.
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.bare;
CREATE TABLE bench.bare WITH (fillfactor = 70) AS
SELECT num, slot, status, coalesce(k1, 0) AS k1, coalesce(seen_ms, 0) AS seen_ms FROM evse WHERE NOT gone;
ALTER TABLE bench.bare ADD PRIMARY KEY (num, slot);
VACUUM ANALYZE bench.bare;
