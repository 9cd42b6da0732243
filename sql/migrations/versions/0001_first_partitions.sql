SELECT make_partitions(clock_ms());
