"""A training run: its trainer, what goes on beside it, and how it goes on later."""
