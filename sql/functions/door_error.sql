-- Raises: lets an expression refuse what must not happen. P0001 with a hint tells a caller's mistake from a failure.
CREATE OR REPLACE FUNCTION door_error(p_message text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION '%', p_message USING ERRCODE = 'invalid_parameter_value';
END
$$;
