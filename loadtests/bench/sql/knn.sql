-- The nearest stations of a place, as the whole body of an answer. $1 lon, $2 lat, $3 how many, $4 radius in metres.
-- <-> on geography is the exact distance on the sphere, in order of the GiST index: the radius only cuts what comes last.
SELECT '{"stations":[' || coalesce(
    string_agg(left(summary, -1) || ',"distance_m":' || round(metres::numeric, 1) || '}', ',' ORDER BY metres), ''
) || ']}'
FROM (
    SELECT summary, geog <-> ST_MakePoint($1::float8, $2::float8)::geography AS metres
    FROM bench.station
    ORDER BY geog <-> ST_MakePoint($1::float8, $2::float8)::geography
    LIMIT $3::integer
) AS near
WHERE metres <= $4::float8
