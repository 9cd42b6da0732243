"""Measurements of a running service, on request: `mapsvc measure`. They judge nothing; benchmarks live in loadtests/."""
