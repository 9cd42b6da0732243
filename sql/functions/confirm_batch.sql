-- confirm_batch: writes confirmations that the ingest process held in memory. No history, no n, no outbox.
--
-- Takes the shard's lock as apply_batch does, so that the two never wait for each other in a circle. A row is written
-- only while it still confirms what is stored: same status, not gone, and neither key nor seen_ms ever go back.
-- Promise R2; a crash before it loses confirmations only (UNKNOWN may show early, never late: R7). Returns rows written.
DROP FUNCTION IF EXISTS confirm_batch;
CREATE FUNCTION confirm_batch(
    p_shard  smallint,
    s_num    bigint[],
    s_slot   smallint[],
    s_status smallint[],
    s_k1     bigint[],
    s_k2     bigint[],
    s_seen_ms bigint[]
) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_bitmapscan = off
AS $$
DECLARE
    v_written integer;
BEGIN
    PERFORM FROM shard WHERE shard.shard = p_shard FOR UPDATE;
    UPDATE evse AS e
    SET k1 = s.key[1], k2 = s.key[2], seen_ms = s.seen_ms
    FROM (
        SELECT u.num, u.slot, u.status, max(ARRAY[u.k1, u.k2]) AS key, max(u.seen_ms) AS seen_ms
        FROM unnest(s_num, s_slot, s_status, s_k1, s_k2, s_seen_ms) AS u (num, slot, status, k1, k2, seen_ms)
        GROUP BY u.num, u.slot, u.status
    ) AS s
    WHERE e.num = s.num AND e.slot = s.slot AND e.shard = p_shard AND NOT e.gone AND e.status = s.status
      AND s.key >= ARRAY[e.k1, e.k2] AND e.k1 IS NOT NULL AND s.seen_ms >= e.seen_ms
      AND (s.key > ARRAY[e.k1, e.k2] OR s.seen_ms > e.seen_ms);
    GET DIAGNOSTICS v_written = ROW_COUNT;
    RETURN v_written;
END
$$;
