-- reset_order: forgets the ordering keys of a party's EVSEs in one shard, for a source that restarted its numbering.
-- The next report of each EVSE is then accepted whatever its key. Status and seen_ms stay. Returns rows written.
-- Under the shard's lock, so that no batch judges by a key that is just being forgotten (R2).
DROP FUNCTION IF EXISTS reset_order;
CREATE FUNCTION reset_order(p_shard smallint, p_party text) RETURNS integer
    LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_written integer;
BEGIN
    PERFORM FROM shard WHERE shard.shard = p_shard FOR UPDATE;
    UPDATE evse SET k1 = NULL, k2 = NULL WHERE party = p_party AND shard = p_shard AND k1 IS NOT NULL;
    GET DIAGNOSTICS v_written = ROW_COUNT;
    RETURN v_written;
END
$$;
