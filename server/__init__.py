"""What runs TorchServe: archives, the supervisor, readiness."""
