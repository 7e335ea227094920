"""Benchmarks, run by `make bench`. The shop does not import them. See docs/performance.md."""
