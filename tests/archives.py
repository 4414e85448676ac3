"""Stand-ins for trained models, and modified archives."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from handler.contract import EXTRA_FILE, Contract


class Brightness(torch.nn.Module):
    """A model whose age is the crop's mean grey level, 0 to 100 years, so that tests know it."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return of_ages(faces.float().mean(dim=(1, 2, 3)) * (100 / 255))


class Darkness(torch.nn.Module):
    """100 years less the age of `Brightness`."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return of_ages(100 - faces.float().mean(dim=(1, 2, 3)) * (100 / 255))


class Colour(torch.nn.Module):
    """A model of `COLOURS`: the softmax of the mean levels of red, green and blue, 0 to 10."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(images.float().mean(dim=(2, 3)) * (10 / 255), dim=1)


COLOURS = ("red", "green", "blue")


def of_ages(age: torch.Tensor) -> torch.Tensor:
    """Distributions [n, 117] over years whose medians are `age` [n], 0 to 100, with a std of 5.

    Below half a year the std is another one.
    """
    p = 0.02  # of the years around the median, so that it does not jump
    year = torch.ceil(age - 0.5).clamp(min=0)
    below = year.clamp(max=5)
    above = 10 - below
    # Mass 0.5 - p * part is below the median's year, of which `part` is below the median.
    low = 0.5 - p * (age - year + 0.5) - p
    high = 1 - low - 3 * p
    mean = high * above - low * below
    missing = 25 - (low * below**2 + high * above**2 + 2 * p - mean**2)
    gain = 2 * above + 1 - 2 * mean  # in variance, for a mass that moves a year up
    moved = (gain - (gain**2 - 4 * missing).sqrt()) / 2
    at_birth = (0.5 / (age + 0.5)).clamp(max=1)
    later = (1 - at_birth).clamp(max=p)
    first = year == 0
    masses = [
        (year - below, torch.where(first, at_birth, low)),
        (year - 1, torch.where(first, 0.0, p)),
        (year, torch.where(first, 0.0, p)),
        (year + 1, torch.where(first, later, p)),
        (year + above, torch.where(first, 1 - at_birth - later, high - moved)),
        (year + above + 1, torch.where(first, 0.0, moved)),
    ]
    probabilities = torch.zeros(len(age), 117, device=age.device)
    for place, mass in masses:
        probabilities.scatter_add_(1, place.clamp(min=0).long()[:, None], mass[:, None])
    return probabilities


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
