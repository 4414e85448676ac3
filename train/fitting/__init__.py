"""A training run: building, callbacks, trainer, resumption."""
