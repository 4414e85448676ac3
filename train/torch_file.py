"""Files of `torch.save`: written atomically; read as tensors and plain values only."""

import io
from pathlib import Path
from typing import Any

import torch

from train.atomic_write import atomic_write


def write(content: Any, path: Path, previous: Path | None = None) -> None:
    """Write `content` to `path` as `atomic_write` does; raises OSError."""
    buffer = io.BytesIO()  # torch.save to a path does not raise OSError on a full disk
    torch.save(content, buffer)
    with atomic_write(path, previous) as partial:
        partial.write_bytes(buffer.getbuffer())


def read(path: Path) -> Any:
    """The content of a file, on the CPU.

    Raises OSError if it cannot be opened, and ValueError, in one line, if it is damaged or
    contains anything but tensors and plain values.
    """
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # on bad bytes, torch raises almost any type
            first = (str(error).strip() or type(error).__name__).partition("\n")[0]
            raise ValueError(f"{path} is damaged, or no checkpoint: {first}") from error
