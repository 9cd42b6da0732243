"""One module a goal of docs/benchmarks.md: what is asked of whom, compared first and then measured."""
