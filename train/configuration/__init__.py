"""The configuration of commands: overrides, schema, validation, aliases of keys."""
