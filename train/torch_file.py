"""Files of `torch.save`: written whole, and read as tensors and plain values alone."""

import io
from pathlib import Path
from typing import Any

import torch

from train.atomic_write import atomic_write


def write(content: Any, path: Path, previous: Path | None = None) -> None:
    """Write `content` to `path` as `atomic_write` does; raises OSError."""
    buffer = io.BytesIO()  # torch's own way to write a file has no words for a full disk
    torch.save(content, buffer)
    with atomic_write(path, previous) as partial:
        partial.write_bytes(buffer.getbuffer())


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
