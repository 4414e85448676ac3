"""What is installed beside this package."""

import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path:
    """Where an installed package lies, without importing it. Raises ImportError where it is not."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"No module named {name!r}")
    return Path(spec.submodule_search_locations[0])
