"""From a command line to a configuration that was checked."""
