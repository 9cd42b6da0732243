-- Makes partitions for now and $1 hours and days ahead (functions/partitions.sql). Call it at least hourly.
SELECT made FROM make_partitions(clock_ms(), $1::integer) AS made
