-- Reads the peers' tables and indexes into shared buffers: a server that was just started is not what we compare with.
CREATE EXTENSION IF NOT EXISTS pg_prewarm SCHEMA bench;
SELECT bench.pg_prewarm('bench.station'), bench.pg_prewarm('bench.station_geog_idx'),
       bench.pg_prewarm('bench.tile_station'), bench.pg_prewarm('bench.tile_station_geom_idx')
