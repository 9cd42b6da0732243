-- Every shard's head and the database's clock at that moment. The rebuild reads it in the snapshot of the stations.
SELECT shard, n, clock_ms() AS clock_ms FROM shard ORDER BY shard
