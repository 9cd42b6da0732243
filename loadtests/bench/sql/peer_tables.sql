-- Tables of the PostGIS peers, in a schema of their own: the prepared summary of a station for KNN, and narrow rows in the
-- tiles' own projection for ST_AsMVT and tipg, so that neither transforms anything per request.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE UNLOGGED TABLE bench.station (num bigint, lat float8, lon float8, summary text);
CREATE UNLOGGED TABLE bench.tile_station (
    num bigint, status int, free int, busy int, out_of_service int, unknown int, total int, kw int, lat float8, lon float8
);
