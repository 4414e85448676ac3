"""Stand-ins for trained models, and modified archives."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from handler.contract import EXTRA_FILE, Contract


class Brightness(torch.nn.Module):
    """A model whose age is the crop's mean grey level, 0 to 100 years, so that tests know it."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


class Darkness(torch.nn.Module):
    """100 years less the age of `Brightness`."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = 100 - faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


def exported(
    model: torch.nn.Module,
    contract: Contract | str,
    file: Path,
    extra: Mapping[str, bytes | str] | None = None,
) -> Path:
    """Write a TorchScript `file` with its contract and `extra` inside; returns `file`."""
    text = contract if isinstance(contract, str) else contract.to_json()
    files = {EXTRA_FILE: text, **(extra or {})}
    torch.jit.save(torch.jit.script(model.eval()), str(file), _extra_files=files)
    return file


def rewritten(
    path: Path, changes: Mapping[str, bytes | None], kind: int = zipfile.ZIP_STORED
) -> None:
    """Replace, add or (None) remove files of a zip archive."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()} | dict(changes)
    with zipfile.ZipFile(path, "w", kind) as new:
        for name, data in content.items():
            if data is not None:
                new.writestr(name, data)
