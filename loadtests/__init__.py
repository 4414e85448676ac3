"""Load on a service that runs, with every answer checked."""
