"""A request's bytes -> an upright image -> crops of it."""
