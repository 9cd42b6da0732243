"""End to end: real processes, a real PostgreSQL and Redis, and what must hold while they are killed."""
