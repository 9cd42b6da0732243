-- crc32(key) % 16 (IEEE 802.3, reflected, as zlib's), half a byte at a time: the same number as geo.station.shard_of.
--
-- Why the database computes it too: a station stored under the wrong shard would be a second station of the same key,
-- numbered by another counter. apply_batch refuses it. PostgreSQL 15 has no crc32 of its own.
CREATE OR REPLACE FUNCTION shard_of_key(p_key text) RETURNS smallint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    half CONSTANT bigint[] := '{0,498536548,997073096,651767980,1994146192,1802195444,1303535960,1342533948,
        3988292384,4027552580,3604390888,3412177804,2607071920,2262029012,2685067896,3183342108}';
    bytes bytea := convert_to(p_key, 'UTF8');
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        crc := (crc >> 4) # half[(crc & 15) + 1];
        crc := (crc >> 4) # half[(crc & 15) + 1];
    END LOOP;
    RETURN (crc # 4294967295) & 15;
END
$$;
