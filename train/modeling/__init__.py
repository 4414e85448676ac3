"""The network, what it learns from, and its files."""
