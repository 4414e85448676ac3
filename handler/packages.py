"""Locates installed packages without importing them."""

import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path:
    """Folder of an installed package. Raises ImportError if it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"No module named {name!r}")
    return Path(spec.submodule_search_locations[0])
