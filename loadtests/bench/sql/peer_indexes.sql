-- Once the rows stand. Beyond 85.0511° there is no Web Mercator, so those few stations have no place in a tile here.
ALTER TABLE bench.station ADD COLUMN geog geography(Point, 4326);
UPDATE bench.station SET geog = ST_SetSRID(ST_MakePoint(lon, lat), 4326)::geography;
ALTER TABLE bench.tile_station ADD COLUMN geom geometry(Point, 3857);
DELETE FROM bench.tile_station WHERE abs(lat) > 85.0511;
UPDATE bench.tile_station SET geom = ST_Transform(ST_SetSRID(ST_MakePoint(lon, lat), 4326), 3857);
ALTER TABLE bench.tile_station DROP COLUMN lat, DROP COLUMN lon, ADD PRIMARY KEY (num);
CREATE INDEX ON bench.station USING gist (geog);
CREATE INDEX ON bench.tile_station USING gist (geom);
CLUSTER bench.station USING station_geog_idx;
CLUSTER bench.tile_station USING tile_station_geom_idx;
VACUUM ANALYZE bench.station;
VACUUM ANALYZE bench.tile_station;
