"""A baseline that a competent user would write without this project."""
