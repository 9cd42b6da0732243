"""Ingest: the one process (a shard group) that lets updates in. Validate, authenticate, resolve, commit, acknowledge."""
