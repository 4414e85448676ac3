"""Labelled images -> batches of crops."""
