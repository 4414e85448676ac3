"""What tests of several packages share."""

from pathlib import Path

import pytest
import torch

from handler.contract import EXTRA_FILE, Calibration, Contract, CropGeometry, DetectorSettings

# Small tensors are faster so, and much faster on a machine that has other work.
torch.set_num_threads(1)


class Brightness(torch.nn.Module):
    """A stand-in whose age is the crop's mean grey level, 0 to 100 years, so it can be told."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3)) * (100 / 255)
        return age, torch.full_like(age, 5.0)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """A contract with round numbers."""
    return Contract(
        crop=CropGeometry(size=64, margin=0.0, fill=0),
        detector=DetectorSettings(),
        calibration=Calibration(coverage=0.9, scale=2.0),
        data=("made",),
        metrics={"mae": 5.0},
    )


@pytest.fixture(scope="session")
def model_file(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: `Brightness`, with `contract` inside."""
    file = tmp_path_factory.mktemp("model") / "age.pt"
    model = torch.jit.script(Brightness().eval())
    torch.jit.save(model, str(file), _extra_files={EXTRA_FILE: contract.to_json()})
    return file
