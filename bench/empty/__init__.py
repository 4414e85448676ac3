"""A handler that does nothing, to tell what the load generators can do."""
