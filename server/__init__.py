"""Runs TorchServe: archives, the supervisor, readiness."""
