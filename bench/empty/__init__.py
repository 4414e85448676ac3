"""A handler that does nothing, to measure the capacity of load generators."""
