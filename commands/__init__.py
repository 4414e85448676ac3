"""What a user types: `face-age` and its sub-commands."""
