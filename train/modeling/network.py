"""A timm backbone with an age-distribution head: the network that is trained and exported."""

import json
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from handler.contract import LARGEST_CROP
from train.data.readers import utkface
from train.data.samples import MAX_AGE

GENDERS, RACES = len(utkface.GENDERS), len(utkface.RACES)  # classes of the auxiliary tasks


def _is_between(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


@dataclass(frozen=True)
class Architecture:
    """Everything needed to rebuild the served network from its weights."""

    backbone: str  # timm's name
    size: int  # side of the backbone's square input, pixels
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in 0 to 1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    # Test-time augmentation: the average of two views of each crop, one this many pixels higher,
    # one mirrored and as much lower; 0: one view, the crop itself.
    shift: int = 0
    hidden: int = 0  # units of a layer between backbone and head; 0: no such layer

    @property
    def crop_size(self) -> int:
        """Side of the network's square input, pixels."""
        return self.size + 2 * self.shift

    def __post_init__(self) -> None:
        """Raises ValueError for values that no network can be built from."""
        bounds = {"size": (1, LARGEST_CROP), "shift": (0, LARGEST_CROP), "hidden": (0, 1 << 16)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}: {value!r}")
        for name, least in (("mean", -10.0), ("std", 1e-6)):
            values = getattr(self, name)
            if len(values) != 3 or not all(_is_between(each, least, 10.0) for each in values):
                raise ValueError(f"{name} must be three numbers from {least:g} to 10: {values!r}")

    @classmethod
    def of_timm(cls, backbone: str, size: int) -> "Architecture":
        """The architecture with the normalisation of timm's pretrained weights.

        Raises ValueError for an unknown backbone.
        """
        trained: Any = timm.get_pretrained_cfg(backbone)
        if trained is None:
            raise ValueError(f"timm has no backbone {backbone}: see timm.list_models()")
        return cls(backbone, size, tuple(trained.mean), tuple(trained.std))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The inverse of `json.dumps(asdict(architecture))`.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        values: Any = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values["backbone"], str):
            raise TypeError("its architecture names no backbone")
        if timm.get_pretrained_cfg(values["backbone"]) is None:
            raise ValueError(f"timm has no backbone {values['backbone']}")
        return cls(**values | {"mean": tuple(values["mean"]), "std": tuple(values["std"])})


class AgeNetwork(nn.Module):
    """Crops -> a distribution over the whole years 0 to 116; trained and served alike.

    `forward` is the contract of an exported model: uint8 [N, 3, C, C] -> the distribution's median
    (the age) and standard deviation, float32 [N] each, in years. C is the architecture's
    `crop_size`.
    """

    mean: Tensor
    std: Tensor
    years: Tensor

    def __init__(self, architecture: Architecture, **timm_options: Any) -> None:
        super().__init__()
        self.size, self.shift = architecture.size, architecture.shift
        self.crop_size = architecture.crop_size
        trained: Any = timm.get_pretrained_cfg(architecture.backbone)
        if trained.fixed_input_size:  # most transformers
            timm_options["img_size"] = architecture.size
        self.backbone = timm.create_model(architecture.backbone, num_classes=0, **timm_options)
        # timm: an int; not num_features, after which MobileNetV3 has one more layer
        pooled = int(self.backbone.head_hidden_size)  # type: ignore[arg-type]
        hidden = architecture.hidden
        self.width = hidden or pooled
        self.neck = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.head = nn.Linear(self.width, MAX_AGE + 1)
        constants = {
            "mean": torch.tensor(architecture.mean).view(1, 3, 1, 1) * 255,
            "std": torch.tensor(architecture.std).view(1, 3, 1, 1) * 255,
            "years": torch.arange(MAX_AGE + 1, dtype=torch.float32),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def features(self, faces: Tensor) -> Tensor:
        """Images with values 0 to 255, [N, 3, S, S] -> the head's input, [N, F]."""
        pixels = (faces - self.mean) / self.std
        # in the weights' precision, which serving may lower
        features: Tensor = self.neck(self.backbone(pixels.type_as(self.head.weight)))
        return features

    def probabilities(self, features: Tensor) -> Tensor:
        """Features [N, F] -> the probability of each year, float32 [N, 117]."""
        logits: Tensor = self.head(features)
        return logits.float().softmax(dim=1)

    def moments(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, [N] years each, of distributions [N, 117] over the years."""
        mean = (probabilities * self.years).sum(dim=1)
        variance = (probabilities * (self.years - mean[:, None]) ** 2).sum(dim=1)
        return mean, variance.sqrt()

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 3, C, C] -> age [N] and standard deviation [N], float32, in years."""
        probabilities = self.distribution(faces)
        _, std = self.moments(probabilities)
        return median(probabilities), std

    def distribution(self, faces: Tensor) -> Tensor:
        """uint8 [N, 3, C, C] -> probability of each year, averaged over views, float32 [N, 117]."""
        views = (self._views(faces) if self.shift else faces).float()
        probabilities = self.probabilities(self.features(views))
        if not self.shift:
            return probabilities
        averaged: Tensor = probabilities.unflatten(0, (-1, 2)).mean(dim=1)
        return averaged

    def _views(self, faces: Tensor) -> Tensor:
        """[N, 3, C, C] -> [2 N, 3, S, S]: both of the first face, both of the second, ..."""
        across = faces[..., self.shift : self.shift + self.size]
        upper, lower = across[:, :, : self.size], across[:, :, 2 * self.shift :]
        return torch.stack([upper, lower.flip(3)], dim=1).flatten(0, 1)


def resized(faces: Tensor, side: int) -> Tensor:
    """Float [N, 3, S, S] -> [N, 3, side, side], bilinear, antialiased."""
    if faces.shape[-1] == side:
        return faces
    return functional.interpolate(faces, size=side, mode="bilinear", antialias=True)


def median(probabilities: Tensor) -> Tensor:
    """Medians [N], 0 to 116 years, of distributions [N, 117].

    The median minimises the expected absolute error. The probability of a year counts as spread
    evenly over half a year on either side of it.
    """
    below = probabilities.cumsum(dim=1)
    year = (below < 0.5).sum(dim=1, keepdim=True).clamp(max=MAX_AGE)
    probability = probabilities.gather(1, year)
    part = (0.5 - below.gather(1, year) + probability) / probability
    return (year - 0.5 + part).squeeze(1).clamp(0, MAX_AGE)


def target_distribution(ages: Tensor, sigma: float) -> Tensor:
    """Gaussians around `ages` [N] over the whole years 0 to 116, each row summing to 1.

    Label distribution learning (Geng et al., TPAMI 2013).
    """
    years = torch.arange(MAX_AGE + 1, dtype=torch.float32, device=ages.device)
    return (-((years - ages[:, None]) ** 2) / (2 * sigma**2)).softmax(dim=1)
