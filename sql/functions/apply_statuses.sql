-- apply_statuses: the statuses' half of THE door (apply_batch.sql is the stations' half and calls this one).
--
-- One call is one batch, at most 1,000 rows of any shards, as one transaction of the caller.
--
--   (a) lock the counter rows of the shards, as a statement of its own: the statements after it then see all that the
--       writers before us committed (READ COMMITTED takes a new snapshot for each statement);
--   (b) judge, write state, history and outbox; in each shard the applied rows take the numbers that follow, in the order
--       of the rows (repeats of one EVSE come after the rest: see rounds below);
--   (c) each shard's n := the last number taken.
--
-- Invariants
--   * (shard, n) in the outbox is commit order, gapless and total. Readers may poll n > last.
--   * Nobody waits for a shard while holding another: a batch of several shards is given with p_wait = false, and rows of
--     a shard that somebody else holds come back as 'busy', untouched. So batches cannot deadlock, and an import that
--     holds one shard does not keep the statuses of the others waiting.
--   * A status never creates an EVSE.
-- Promises: R1 (an outcome 'applied' is in evse, status_history and outbox of the same transaction, or of none),
--           R2 (per-EVSE order: geo.ordering.supersedes, folded over the rows; tests/vectors/ordering.json).
--
-- Why many shards at once: a batch costs 0.4 ms before its first row, and a request of 100 rows has some of every shard.
--
-- Arrays in, one element a row, in receipt order; ord is the 0-based place in them. Several rows of one EVSE are allowed.
--   s_uid_key           the resolver's belief; a slot that is gone or carries another uid makes 'unknown_evse'
--   s_known_k1, _k2     the highest key that the caller holds in memory for this EVSE from confirmations that are not
--                       written yet (NULL: none). Ignored while the stored key is NULL: that EVSE starts anew.
--   s_confirm_after_ms  a confirmation is written only when seen_ms advances by at least this much (a quarter of the TTL)
--
-- Result, one row per status, in no particular order: outcome applied | confirmed | late | unknown_evse | busy; n of an
-- applied row; status, k1, k2 after this row (for a late row: what stood against it); seen_ms as stored then; written:
-- this row reached the table.
DROP FUNCTION IF EXISTS apply_statuses;
CREATE FUNCTION apply_statuses(
    s_shard            smallint[],
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
    p_wait             boolean DEFAULT true,
    p_now_ms           bigint DEFAULT NULL
) RETURNS TABLE (
    ord integer, outcome text, n bigint, status smallint, k1 bigint, k2 bigint, seen_ms bigint, written boolean
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
    c_shards CONSTANT integer := 16;
    v_now_ms bigint := coalesce(p_now_ms, clock_ms());
    v_head bigint[] := array_fill(-1::bigint, ARRAY[c_shards]);  -- by shard + 1: the last number taken; -1: not ours
    v_base bigint[];                                             -- the same before this batch
    v_round integer[];                                           -- each row's round; NULL: no EVSE repeats
    v_rounds integer := 1;
    v_told text := '';
    v_locked record;
BEGIN
    IF cardinality(s_num) > 1000 THEN
        PERFORM door_error('a batch holds at most 1000 rows, not ' || cardinality(s_num));
    END IF;
    IF NOT 0 <= ALL (s_shard) OR NOT c_shards > ALL (s_shard) THEN
        PERFORM door_error('no such shard: ' || (SELECT max(s) FROM unnest(s_shard) AS s));
    END IF;
    IF p_wait AND s_shard[1] <> ANY (s_shard) THEN
        PERFORM door_error('a batch that waits is of one shard');
    END IF;

    IF p_wait THEN
        FOR v_locked IN SELECT shard.shard, shard.n FROM shard WHERE shard.shard = s_shard[1] FOR UPDATE LOOP
            v_head[v_locked.shard + 1] := v_locked.n;
        END LOOP;
    ELSE
        FOR v_locked IN SELECT shard.shard, shard.n FROM shard WHERE shard.shard = ANY (s_shard) FOR UPDATE SKIP LOCKED
        LOOP
            v_head[v_locked.shard + 1] := v_locked.n;
        END LOOP;
    END IF;

    v_base := v_head;

    -- Rounds: a round takes each EVSE's first row that is left, so that it meets what the round before it stored, and one
    -- set-based step is supersedes(). Almost always there is one round, so that is asked first.
    IF EXISTS (SELECT FROM generate_series(1, cardinality(s_num)) AS i GROUP BY s_num[i], s_slot[i] HAVING count(*) > 1)
    THEN
        SELECT array_agg(p.round ORDER BY p.ord), max(p.round)
        INTO v_round, v_rounds
        FROM (SELECT s.ord, row_number() OVER (PARTITION BY s.num, s.slot ORDER BY s.ord) AS round
              FROM unnest(s_num, s_slot) WITH ORDINALITY AS s (num, slot, ord)) AS p;
    END IF;

    FOR v_now_round IN 1 .. v_rounds LOOP
        RETURN QUERY
        WITH judged AS (
            -- The whole ordering rule. standing: the key to reach; NULL: nothing was reported yet.
            -- Array elements by subscript: unnest() of twelve arrays makes twelve temporary tables first.
            SELECT m.*,
                   CASE WHEN v_head[m.shard + 1] < 0 THEN 'busy'
                        WHEN NOT m.found THEN 'unknown_evse'
                        WHEN m.standing_k1 IS NULL THEN 'applied'
                        WHEN (m.k1, m.k2) < (m.standing_k1, m.standing_k2) THEN 'late'
                        WHEN m.status = m.old_status THEN 'confirmed'
                        ELSE 'applied' END AS outcome
            FROM (
                SELECT i AS ord, s_shard[i] AS shard, s_num[i] AS num, s_slot[i] AS slot, s_status[i] AS status,
                       s_k1[i] AS k1, s_k2[i] AS k2, s_changed_ms[i] AS changed_ms, s_seen_ms[i] AS seen_ms,
                       s_confirm_after_ms[i] AS confirm_after_ms,
                       e.ctid AS place, e.status AS old_status, e.seen_ms AS old_seen_ms,
                       e.uid_key IS NOT NULL AND e.uid_key = s_uid_key[i] AND NOT e.gone
                       AND (e.shard = s_shard[i]
                            OR door_error('EVSE ' || e.num || '.' || e.slot || ' is not of shard ' || s_shard[i])) AS found,
                       CASE WHEN (s_known_k1[i], s_known_k2[i]) > (e.k1, e.k2) THEN s_known_k1[i] ELSE e.k1 END
                       AS standing_k1,
                       CASE WHEN (s_known_k1[i], s_known_k2[i]) > (e.k1, e.k2) THEN s_known_k2[i] ELSE e.k2 END
                       AS standing_k2
                FROM generate_series(1, cardinality(s_num)) AS i
                LEFT JOIN evse AS e ON e.num = s_num[i] AND e.slot = s_slot[i]
                WHERE v_round IS NULL OR v_round[i] = v_now_round
            ) AS m
        ), rated AS MATERIALIZED (
            -- A confirmation with another round to come is always written: that round must meet its key.
            SELECT j.ord, j.shard, j.num, j.slot, j.status, j.k1, j.k2, j.changed_ms, j.seen_ms, j.outcome, j.found,
                   j.place, j.old_status, j.old_seen_ms, j.standing_k1, j.standing_k2,
                   greatest(j.old_seen_ms, j.seen_ms) AS new_seen_ms,
                   CASE WHEN j.outcome = 'applied'
                        THEN v_head[j.shard + 1]
                             + count(*) FILTER (WHERE j.outcome = 'applied') OVER (PARTITION BY j.shard ORDER BY j.ord)
                        END AS n,
                   j.outcome = 'applied'
                   OR j.outcome = 'confirmed'
                      AND (j.old_seen_ms IS NULL OR j.seen_ms - j.old_seen_ms >= coalesce(j.confirm_after_ms, 0)
                           OR v_now_round < v_rounds) AS written
            FROM judged AS j
        ), states AS (
            -- By place: nobody moves a row of a shard that we hold, and the key was looked up above. (Somebody who writes
            -- without the shard's lock would be noticed: see the last condition.)
            UPDATE evse AS e
            SET status = r.status, k1 = r.k1, k2 = r.k2, n = coalesce(r.n, e.n), seen_ms = r.new_seen_ms,
                changed_ms = CASE WHEN r.n IS NULL THEN e.changed_ms ELSE r.changed_ms END
            FROM rated AS r
            WHERE r.written AND e.ctid = r.place
            RETURNING 1
        ), history AS (
            INSERT INTO status_history (n, num, k1, k2, changed_ms, received_ms, shard, slot, status)
            SELECT r.n, r.num, r.k1, r.k2, r.changed_ms, r.seen_ms, r.shard, r.slot, r.status
            FROM rated AS r
            WHERE r.n IS NOT NULL
        ), announced AS (
            INSERT INTO outbox (n, created_ms, num, changed_ms, seen_ms, shard, slot, status, kind)
            SELECT r.n, v_now_ms, r.num, r.changed_ms, r.seen_ms, r.shard, r.slot, r.status, 's'
            FROM rated AS r
            WHERE r.n IS NOT NULL
        ), counted AS (
            UPDATE shard AS h
            SET n = t.n
            FROM (SELECT r.shard, max(r.n) AS n FROM rated AS r WHERE r.n IS NOT NULL GROUP BY r.shard) AS t
            WHERE h.shard = t.shard
        )
        SELECT (r.ord - 1)::integer, r.outcome, r.n,
               CASE WHEN r.outcome IN ('unknown_evse', 'busy') THEN NULL
                    WHEN r.outcome = 'late' THEN r.old_status ELSE r.status END,
               CASE WHEN r.outcome IN ('unknown_evse', 'busy') THEN NULL
                    WHEN r.outcome = 'late' THEN r.standing_k1 ELSE r.k1 END,
               CASE WHEN r.outcome IN ('unknown_evse', 'busy') THEN NULL
                    WHEN r.outcome = 'late' THEN r.standing_k2 ELSE r.k2 END,
               CASE WHEN r.written THEN r.new_seen_ms WHEN r.found THEN r.old_seen_ms END, r.written
        FROM rated AS r
        WHERE (SELECT count(*) FROM states) = (SELECT count(*) FROM rated AS w WHERE w.written)
              OR door_error('an EVSE was written by somebody who does not hold its shard');

        v_told := '';
        FOR v_locked IN SELECT shard.shard, shard.n FROM shard WHERE shard.shard = ANY (s_shard) ORDER BY shard.shard LOOP
            IF v_head[v_locked.shard + 1] >= 0 THEN
                v_head[v_locked.shard + 1] := v_locked.n;
                IF v_locked.n > v_base[v_locked.shard + 1] THEN
                    v_told := v_told || ',' || v_locked.shard;
                END IF;
            END IF;
        END LOOP;
    END LOOP;

    IF v_told <> '' THEN
        PERFORM pg_notify('outbox', substr(v_told, 2));  -- one a batch: one a row was measured to halve the commits
    END IF;
END
$$;
