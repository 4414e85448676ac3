"""Files that `torch.save` wrote, read as tensors and plain values alone."""

from pathlib import Path
from typing import Any

import torch


def read(path: Path) -> Any:
    """What is in such a file, on the CPU.

    Raises OSError where it cannot be opened, and ValueError, in one line, where it is damaged or
    holds anything but tensors and plain values.
    """
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises nearly anything on bytes that it cannot read
            first = (str(error).strip() or type(error).__name__).partition("\n")[0]
            raise ValueError(f"{path} is damaged, or no checkpoint: {first}") from error
