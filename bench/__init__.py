"""What is measured, and not shipped: `python -m bench.NAME` in the root of the repository."""
