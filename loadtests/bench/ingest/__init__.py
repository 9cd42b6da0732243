"""S5 and S6: how many updates go in, and how soon they are seen. `make bench-ingest`."""
