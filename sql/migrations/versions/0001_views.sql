-- For people: the tables with instants as timestamptz and statuses by name.

CREATE FUNCTION at_ms(p_ms bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(p_ms / 1000.0);

-- OCPI 2.2.1 8.4.25, in the order of geo.station.Status.
CREATE FUNCTION status_name(p_status smallint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (ARRAY['UNKNOWN', 'AVAILABLE', 'BLOCKED', 'CHARGING', 'INOPERATIVE', 'OUTOFORDER', 'PLANNED', 'REMOVED',
                  'RESERVED'])[p_status + 1];

CREATE VIEW station_readable AS
SELECT s.num, s.party, s.location_id, s.doc ->> 'name' AS name, s.doc ->> 'city' AS city, ST_Y(s.geom) AS lat,
       ST_X(s.geom) AS lon, s.publish, s.removed, at_ms(s.last_updated_ms) AS last_updated, to_hex(s.cell) AS cell,
       s.shard, s.n
FROM station s;

CREATE VIEW evse_readable AS
SELECT e.num, e.slot, e.party, s.location_id, e.uid, e.evse_id, status_name(e.status) AS status, e.gone,
       at_ms(e.changed_ms) AS changed_at, at_ms(e.seen_ms) AS seen_at,
       at_ms(greatest(e.seen_ms, p.heartbeat_ms)) + make_interval(secs => p.ttl_s) AS expires_at, e.k1, e.k2, e.shard, e.n
FROM evse e
JOIN station s ON s.num = e.num
JOIN party p ON p.id = e.party;

CREATE VIEW status_history_readable AS
SELECT h.shard, h.n, h.num, h.slot, status_name(h.status) AS status, at_ms(h.changed_ms) AS changed_at,
       at_ms(h.received_ms) AS received_at, h.k1, h.k2
FROM status_history h;

CREATE VIEW outbox_readable AS
SELECT o.shard, o.n, CASE o.kind WHEN 's' THEN 'status' WHEN 't' THEN 'station' WHEN 'x' THEN 'removed' END AS kind,
       o.num, o.slot, status_name(o.status) AS status, at_ms(o.changed_ms) AS changed_at, at_ms(o.seen_ms) AS seen_at,
       at_ms(o.created_ms) AS created_at
FROM outbox o;
