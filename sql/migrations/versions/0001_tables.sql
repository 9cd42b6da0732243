-- Tables of the source of truth. What each column means is in docs/architecture.md; here is why they look as they do.
--
-- * Columns named *_ms are bigint milliseconds since the epoch, UTC. The *_readable views show them as timestamptz.
-- * Keys are COLLATE "C": compared by bytes, whatever locale the database was created with.
-- * Wide columns first, so that rows carry no alignment padding.
-- * Rows of station, evse, status_history, outbox and shard are written by functions/*.sql alone (promises R1, R2).

CREATE TABLE party (
    id           text COLLATE "C" PRIMARY KEY,          -- 'CC*PID' of an operator, 'irve' of a register
    kind         text NOT NULL DEFAULT 'operator' CHECK (kind IN ('operator', 'register')),
    name         text,
    order_by     text NOT NULL DEFAULT 'ts' CHECK (order_by IN ('ts', 'seq')),
    ttl_s        integer CHECK (ttl_s > 0),             -- NULL: no live status
    heartbeat_ms bigint                                 -- last time the party confirmed all it had reported
);

CREATE TABLE api_key (
    hash       bytea PRIMARY KEY,                       -- sha256 of the key: the key itself is never stored (R10)
    label      text NOT NULL DEFAULT '',
    parties    text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- One row a shard, locked by every writer of the shard: its n numbers the shard's changes in commit order.
CREATE TABLE shard (
    shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 15),
    n     bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO shard (shard) SELECT generate_series(0, 15);

CREATE TABLE cache_epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL
);
INSERT INTO cache_epoch (epoch) VALUES (1);

CREATE SEQUENCE station_num AS bigint MAXVALUE 9007199254740991;  -- < 2^53: an id that JavaScript and Lua can hold

CREATE TABLE station (
    num             bigint PRIMARY KEY,
    n               bigint NOT NULL,
    last_updated_ms bigint NOT NULL,
    cell            bigint NOT NULL,                    -- H3 cell of resolution 5
    geom            geometry(Point, 4326) NOT NULL,
    shard           smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    publish         boolean NOT NULL,
    removed         boolean NOT NULL DEFAULT false,
    key             text COLLATE "C" NOT NULL,          -- party~location, case-folded
    party           text COLLATE "C" NOT NULL REFERENCES party (id),
    location_id     text NOT NULL,
    doc             jsonb NOT NULL
);
ALTER TABLE station ALTER COLUMN doc SET COMPRESSION lz4;
CREATE UNIQUE INDEX station_key ON station (key);
CREATE INDEX station_party ON station (party);
CREATE INDEX station_geom ON station USING gist (geom);
-- A location's id without its party: says whether a location that a party names belongs to another one.
CREATE INDEX station_location ON station (substr(key, strpos(key, '~') + 1));
-- The snapshot's order: one shard, cell by cell.
CREATE INDEX station_snapshot ON station (shard, cell, num) WHERE NOT removed;

-- No index on status, n, k1, k2, changed_ms or seen_ms, and a third of each page free:
-- a status update then stays on its page and touches no index (HOT).
CREATE TABLE evse (
    num        bigint NOT NULL REFERENCES station (num),
    n          bigint NOT NULL,
    k1         bigint,                                  -- ordering key of the last accepted report; NULL: there was none
    k2         bigint,
    changed_ms bigint,
    seen_ms    bigint,
    slot       smallint NOT NULL,
    shard      smallint NOT NULL,
    status     smallint NOT NULL DEFAULT 0 CHECK (status BETWEEN 0 AND 8),
    gone       boolean NOT NULL DEFAULT false,          -- no longer in the station's document: REMOVED by it, not by a report
    party      text COLLATE "C" NOT NULL,
    uid        text NOT NULL,
    uid_key    text COLLATE "C" NOT NULL,
    evse_id    text,
    PRIMARY KEY (num, slot),
    CHECK ((k1 IS NULL) = (k2 IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX evse_party_uid ON evse (party, uid_key);
CREATE INDEX evse_uid ON evse (uid_key, party);

-- Every applied status. No index: at thousands of rows a second it is written once and read by partition.
CREATE TABLE status_history (
    n           bigint NOT NULL,
    num         bigint NOT NULL,
    k1          bigint NOT NULL,
    k2          bigint NOT NULL,
    changed_ms  bigint,
    received_ms bigint NOT NULL,
    shard       smallint NOT NULL,
    slot        smallint NOT NULL,
    status      smallint NOT NULL
) PARTITION BY RANGE (received_ms);
CREATE TABLE status_history_default PARTITION OF status_history DEFAULT;

-- What the relay carries to Redis. (shard, n) is commit order, gapless and total: see functions/apply_batch.sql.
CREATE TABLE outbox (
    n          bigint NOT NULL,
    created_ms bigint NOT NULL,
    num        bigint NOT NULL,
    changed_ms bigint,
    seen_ms    bigint,
    shard      smallint NOT NULL,
    slot       smallint,                                -- slot, status, changed_ms and seen_ms: kind 's' only
    status     smallint,
    kind       text COLLATE "C" NOT NULL,               -- s status, t station, x station removed
    PRIMARY KEY (shard, n, created_ms)
) PARTITION BY RANGE (created_ms);
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;

-- Stored answers of requests with an Idempotency-Key, replayed to retries for 24 h.
CREATE TABLE idempotency (
    key_hash     bytea NOT NULL,
    idem_key     text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    status       integer NOT NULL,
    response     bytea NOT NULL,
    created_ms   bigint NOT NULL,
    PRIMARY KEY (key_hash, idem_key)
);
CREATE INDEX idempotency_created ON idempotency (created_ms);
