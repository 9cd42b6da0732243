-- Numbers for $1 new stations. A number that is not used then is lost, never reused.
SELECT nextval('station_num') AS num FROM generate_series(1, $1::integer)
