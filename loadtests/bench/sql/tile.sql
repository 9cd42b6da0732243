-- A vector tile of stations with the same attributes as ours. $1 z, $2 x, $3 y.
SELECT ST_AsMVT(t, 'stations', 4096, 'geom', 'num')
FROM (
    SELECT num, status, free, busy, out_of_service, unknown, total, kw,
           ST_AsMVTGeom(geom, ST_TileEnvelope($1::integer, $2::integer, $3::integer), 4096, 0, true) AS geom
    FROM bench.tile_station
    WHERE geom && ST_TileEnvelope($1::integer, $2::integer, $3::integer)
) AS t
