"""The side-by-side benchmark: our service and its peers on one machine, in turns. `python -m loadtests.bench --help`."""
