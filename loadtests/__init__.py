"""Load tests of a running service, with every answer checked."""
