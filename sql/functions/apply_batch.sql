-- apply_batch: THE door. Every station and every status enters the database here or through the half of it that takes
-- statuses alone (apply_statuses.sql, which this function calls), and nowhere else.
--
-- One call is one batch of one shard, at most 1,000 rows (stations + statuses), as one transaction of the caller.
--
--   (a) lock the shard's counter row, as a statement of its own: the statements after it then see all that the writer
--       before us committed (READ COMMITTED takes a new snapshot for each statement);
--   (b) stations first, then statuses; the applied rows take the numbers that follow, in the order of the rows
--       (repeats of one EVSE come after the rest: see rounds there);
--   (c) shard.n := the last number taken.
--
-- Invariants
--   * (shard, n) in the outbox is commit order, gapless and total. Readers may poll n > last. (A sequence would hand
--     out numbers before commits: such a cursor was measured to skip half of its rows.)
--   * Writers of one shard queue on one row, so that overlapping batches cannot deadlock.
--   * A status never creates an EVSE; a document never sets a status other than REMOVED or back to UNKNOWN.
-- Promises: R1 (an outcome 'applied' is in evse, status_history and outbox of the same transaction, or of none),
--           R2 (per-EVSE order, see there).
--
-- Arrays in, one element a row; ord is the 0-based place in them.
--
-- s_*: statuses, as apply_statuses takes them.
-- t_*: stations. t_expected_n: the station's n as the caller read it, NULL: it must not exist yet; else 'conflict' and
--   nothing of that station is written. A removed station keeps its num and its EVSE rows; a later row revives it.
-- e_*: the stations' EVSEs; e_station is the ord of the station. gone: vanished from the document.
--   EVSEs that are not listed stay as they are, except that a removed station's all go.
--
-- Result, one row per station and status:
--   kind 't': outcome applied | conflict, n.
--   kind 's': as apply_statuses tells it. In order of ord while no EVSE repeats.
DROP FUNCTION IF EXISTS apply_batch;
CREATE FUNCTION apply_batch(
    p_shard            smallint,
    s_num              bigint[],
    s_slot             smallint[],
    s_uid_key          text[],
    s_status           smallint[],
    s_k1               bigint[],
    s_k2               bigint[],
    s_changed_ms       bigint[],
    s_seen_ms          bigint[],
    s_known_k1         bigint[],
    s_known_k2         bigint[],
    s_confirm_after_ms bigint[],
    t_num              bigint[],
    t_expected_n       bigint[],
    t_key              text[],
    t_party            text[],
    t_location_id      text[],
    t_doc              text[],
    t_lat              double precision[],
    t_lon              double precision[],
    t_publish          boolean[],
    t_removed          boolean[],
    t_last_updated_ms  bigint[],
    t_cell             bigint[],
    e_station          integer[],
    e_slot             smallint[],
    e_uid              text[],
    e_uid_key          text[],
    e_evse_id          text[],
    e_gone             boolean[],
    p_now_ms           bigint DEFAULT NULL
) RETURNS TABLE (
    kind text, ord integer, outcome text, n bigint, status smallint, k1 bigint, k2 bigint, seen_ms bigint,
    written boolean
)
    LANGUAGE plpgsql VOLATILE
    -- One plan, made once a connection, that holds for an empty table and for millions of EVSEs: key look-ups only.
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_bitmapscan = off
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    c_unknown CONSTANT smallint := 0;  -- geo.station.Status
    c_removed CONSTANT smallint := 7;
    v_now_ms bigint := coalesce(p_now_ms, clock_ms());
    v_base bigint;        -- shard.n before this batch
    v_n bigint;           -- the last number taken
    v_station_n bigint[]; -- each station row's number; 0: conflict
BEGIN
    IF cardinality(s_num) + cardinality(t_num) > 1000 THEN
        PERFORM door_error('a batch holds at most 1000 rows, not ' || cardinality(s_num) + cardinality(t_num));
    END IF;

    SELECT shard.n INTO v_base FROM shard WHERE shard.shard = p_shard FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM door_error('no such shard: ' || p_shard);
    END IF;
    v_n := v_base;

    IF cardinality(t_num) > 0 THEN
        IF EXISTS (SELECT FROM unnest(t_key) AS k (key) WHERE shard_of_key(k.key) <> p_shard) THEN
            PERFORM door_error('a station of this batch does not belong to shard ' || p_shard);
        END IF;

        -- Which stations may be written, and their numbers. The second row of a key in one batch cannot know the n
        -- that the first one takes: a conflict.
        SELECT array_agg(CASE WHEN j.ok THEN v_base + j.place ELSE 0 END ORDER BY j.ord), v_base + max(j.place)
        INTO v_station_n, v_n
        FROM (
            SELECT i.ord, i.ok, count(*) FILTER (WHERE i.ok) OVER (ORDER BY i.ord) AS place
            FROM (
                SELECT t.ord,
                       row_number() OVER (PARTITION BY t.key ORDER BY t.ord) = 1
                       AND CASE WHEN t.expected_n IS NULL THEN s.num IS NULL
                                ELSE coalesce(s.num = t.num AND s.n = t.expected_n, false) END AS ok
                FROM unnest(t_num, t_expected_n, t_key) WITH ORDINALITY AS t (num, expected_n, key, ord)
                LEFT JOIN station AS s ON s.key = t.key
            ) AS i
        ) AS j;

        INSERT INTO station AS s (num, n, last_updated_ms, cell, geom, shard, publish, removed, key, party, location_id,
                                  doc)
        SELECT t.num, t.n, t.last_updated_ms, t.cell, ST_SetSRID(ST_MakePoint(t.lon, t.lat), 4326), p_shard, t.publish,
               t.removed, t.key, t.party, t.location_id, t.doc::jsonb
        FROM unnest(v_station_n, t_num, t_key, t_party, t_location_id, t_doc, t_lat, t_lon, t_publish, t_removed,
                    t_last_updated_ms, t_cell)
             AS t (n, num, key, party, location_id, doc, lat, lon, publish, removed, last_updated_ms, cell)
        WHERE t.n > 0
        ON CONFLICT (num) DO UPDATE
        SET n = excluded.n, last_updated_ms = excluded.last_updated_ms, cell = excluded.cell, geom = excluded.geom,
            publish = excluded.publish, removed = excluded.removed, location_id = excluded.location_id,
            doc = excluded.doc
        WHERE s.key = excluded.key OR door_error('num ' || excluded.num || ' belongs to another station');

        -- An EVSE row is written when it is new, vanishes, comes back or is renamed; its n moves with its status only.
        INSERT INTO evse AS o (num, n, slot, shard, status, gone, changed_ms, party, uid, uid_key, evse_id)
        SELECT t_num[e.station + 1], v_station_n[e.station + 1], e.slot, p_shard,
               CASE WHEN e.gone OR t_removed[e.station + 1] THEN c_removed ELSE c_unknown END,
               e.gone OR t_removed[e.station + 1],
               CASE WHEN e.gone OR t_removed[e.station + 1] THEN v_now_ms END,
               t_party[e.station + 1], e.uid, e.uid_key, e.evse_id
        FROM unnest(e_station, e_slot, e_uid, e_uid_key, e_evse_id, e_gone)
             AS e (station, slot, uid, uid_key, evse_id, gone)
        WHERE v_station_n[e.station + 1] > 0
        ON CONFLICT (num, slot) DO UPDATE
        SET uid = excluded.uid, evse_id = excluded.evse_id, gone = excluded.gone,
            status = CASE WHEN o.gone = excluded.gone THEN o.status ELSE excluded.status END,
            n = CASE WHEN o.gone = excluded.gone THEN o.n ELSE excluded.n END,
            changed_ms = CASE WHEN o.gone = excluded.gone THEN o.changed_ms ELSE excluded.changed_ms END,
            -- Back again: what was reported before does not count any more.
            k1 = CASE WHEN o.gone > excluded.gone THEN NULL ELSE o.k1 END,
            k2 = CASE WHEN o.gone > excluded.gone THEN NULL ELSE o.k2 END,
            seen_ms = CASE WHEN o.gone > excluded.gone THEN NULL ELSE o.seen_ms END
        WHERE CASE WHEN o.uid_key = excluded.uid_key THEN (o.uid, o.evse_id, o.gone)
                                                          IS DISTINCT FROM (excluded.uid, excluded.evse_id, excluded.gone)
                   ELSE door_error('slot ' || o.slot || ' of station ' || o.num || ' belongs to another uid') END;

        UPDATE evse AS o
        SET status = c_removed, gone = true, n = t.n, changed_ms = v_now_ms
        FROM unnest(t_num, v_station_n, t_removed) AS t (num, n, removed)
        WHERE t.removed AND t.n > 0 AND o.num = t.num AND NOT o.gone;

        INSERT INTO outbox (n, created_ms, num, shard, kind)
        SELECT t.n, v_now_ms, t.num, p_shard, CASE WHEN t.removed THEN 'x' ELSE 't' END
        FROM unnest(t_num, v_station_n, t_removed) AS t (num, n, removed)
        WHERE t.n > 0;

        UPDATE shard SET n = v_n WHERE shard.shard = p_shard AND v_n > v_base;

        RETURN QUERY
        SELECT 't', (t.ord - 1)::integer, CASE WHEN t.n > 0 THEN 'applied' ELSE 'conflict' END, nullif(t.n, 0),
               NULL::smallint, NULL::bigint, NULL::bigint, NULL::bigint, t.n > 0
        FROM unnest(v_station_n) WITH ORDINALITY AS t (n, ord);
    END IF;

    IF cardinality(s_num) > 0 THEN
        RETURN QUERY
        SELECT 's', r.ord, r.outcome, r.n, r.status, r.k1, r.k2, r.seen_ms, r.written
        FROM apply_statuses(array_fill(p_shard, ARRAY[cardinality(s_num)]), s_num, s_slot, s_uid_key, s_status, s_k1, s_k2,
                            s_changed_ms, s_seen_ms, s_known_k1, s_known_k2, s_confirm_after_ms, true, v_now_ms) AS r;
    END IF;

    IF v_n > v_base THEN
        PERFORM pg_notify('outbox', p_shard::text);
    END IF;
END
$$;
