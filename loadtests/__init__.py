"""Load from outside: Locust sessions, and the side-by-side benchmark (`bench`). Speaks HTTP; imports `geo` only."""
