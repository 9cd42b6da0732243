-- Partitions: outbox by the hour, status_history by the day (UTC), made ahead and dropped whole.
--
-- The default partitions catch what no partition was made for: late maintenance must not stop ingest. When a partition
-- is then made, its rows move over from the default one, or PostgreSQL would refuse it.
-- Partitions are attached rather than created in place: CREATE TABLE … PARTITION OF would lock out writers of the whole
-- table. Waits for locks are short, for whoever queues behind us waits as long; the next call makes up for a failure.

CREATE OR REPLACE FUNCTION make_partition(p_table text, p_name text, p_column text, p_from_ms bigint, p_to_ms bigint)
RETURNS boolean
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF to_regclass(format('%I', p_name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', p_name, p_table);
    -- Nobody may add to the default partition between the move and the attachment.
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', p_table || '_default');
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= %s AND %I < %s RETURNING *) INSERT INTO %I SELECT * FROM moved',
                   p_table || '_default', p_column, p_from_ms, p_column, p_to_ms, p_name);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', p_table, p_name, p_from_ms, p_to_ms);
    RETURN true;
END
$$;

-- Makes the partitions of the current hour and day and of the next p_ahead hours and days. Returns the names made.
CREATE OR REPLACE FUNCTION make_partitions(p_now_ms bigint, p_ahead integer DEFAULT 3) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE
    SET lock_timeout = '2s'
AS $$
DECLARE
    c_hour CONSTANT bigint := 3600000;
    c_day CONSTANT bigint := 86400000;
    v_from bigint;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(x'70617274'::integer);  -- "part": one maintenance at a time
    FOR i IN 0 .. p_ahead LOOP
        v_from := (p_now_ms / c_day + i) * c_day;
        v_name := 'status_history_' || to_char(at_ms(v_from) AT TIME ZONE 'UTC', 'YYYYMMDD');
        IF make_partition('status_history', v_name, 'received_ms', v_from, v_from + c_day) THEN
            RETURN NEXT v_name;
        END IF;
    END LOOP;
    FOR i IN 0 .. p_ahead LOOP
        v_from := (p_now_ms / c_hour + i) * c_hour;
        v_name := 'outbox_' || to_char(at_ms(v_from) AT TIME ZONE 'UTC', 'YYYYMMDD_HH24');
        IF make_partition('outbox', v_name, 'created_ms', v_from, v_from + c_hour) THEN
            RETURN NEXT v_name;
        END IF;
    END LOOP;
END
$$;

-- Drops the partitions whose last row is older than its table keeps, and such rows of the default partitions.
-- A partition that somebody holds is left for the next call. Returns the names dropped.
CREATE OR REPLACE FUNCTION drop_old_partitions(
    p_now_ms          bigint,
    p_outbox_keep_ms  bigint DEFAULT 2 * 3600000,
    p_history_keep_ms bigint DEFAULT 90 * 86400000::bigint
) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE
    SET lock_timeout = '250ms'
AS $$
DECLARE
    v_partition record;
BEGIN
    IF p_outbox_keep_ms < 3600000 THEN
        PERFORM door_error('outbox rows live at least an hour: a relay may be that far behind');
    END IF;
    PERFORM pg_advisory_xact_lock(x'70617274'::integer);
    FOR v_partition IN
        SELECT c.oid::regclass::text AS name,
               substring(pg_get_expr(c.relpartbound, c.oid) FROM $q$TO \('(-?\d+)'\)$q$)::bigint AS to_ms,
               CASE i.inhparent WHEN 'outbox'::regclass THEN p_outbox_keep_ms ELSE p_history_keep_ms END AS keep_ms
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('outbox'::regclass, 'status_history'::regclass) AND c.relkind = 'r'
        ORDER BY 2
    LOOP
        CONTINUE WHEN v_partition.to_ms IS NULL OR v_partition.to_ms > p_now_ms - v_partition.keep_ms;
        BEGIN
            EXECUTE format('DROP TABLE %s', v_partition.name);
            RETURN NEXT v_partition.name;
        EXCEPTION WHEN lock_not_available THEN
            RAISE NOTICE 'partition % is in use, left for the next time', v_partition.name;
        END;
    END LOOP;
    DELETE FROM outbox_default WHERE created_ms < p_now_ms - p_outbox_keep_ms;
    DELETE FROM status_history_default WHERE received_ms < p_now_ms - p_history_keep_ms;
END
$$;
