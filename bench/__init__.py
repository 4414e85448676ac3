"""Benchmarks, not shipped: `python -m bench.NAME` in the root of the repository."""

from train.extras import explain_what_lacks

explain_what_lacks()
