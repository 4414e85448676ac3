"""A timm backbone with an age-distribution head, and what is exported of it."""

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

GENDERS, RACES = len(utkface.GENDERS), len(utkface.RACES)  # classes of the helper tasks


def _is_between(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the served network again from its weights."""

    backbone: str  # a name that timm.create_model knows
    size: int  # side of the square that the backbone sees, pixels
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in 0 to 1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    # Two views of each crop are averaged, one higher and one, mirrored, lower by so many pixels;
    # with 0 it is one view, the crop itself.
    shift: int = 0
    hidden: int = 0  # units of a layer between the backbone and the years; 0: there is none

    @property
    def crop_size(self) -> int:
        """Side of the square crop that the network takes, pixels."""
        return self.size + 2 * self.shift

    def __post_init__(self) -> None:
        """Raise ValueError where no network can be built of it."""
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
        """With the normalisation that timm's weights of the backbone were trained with.

        Raises ValueError where timm has no such backbone.
        """
        trained: Any = timm.get_pretrained_cfg(backbone)
        if trained is None:
            raise ValueError(f"timm has no backbone {backbone}: see timm.list_models()")
        return cls(backbone, size, tuple(trained.mean), tuple(trained.std))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """What `json.dumps(asdict(architecture))` made.

        Raises ValueError, TypeError or KeyError where it is something else.
        """
        values: Any = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values["backbone"], str):
            raise TypeError("its architecture names no backbone")
        if timm.get_pretrained_cfg(values["backbone"]) is None:
            raise ValueError(f"timm has no backbone {values['backbone']}")
        return cls(**values | {"mean": tuple(values["mean"]), "std": tuple(values["std"])})


class AgeNetwork(nn.Module):
    """Crops -> logits over the whole years 0 to 116, as it is trained and served.

    `forward` is the contract of an exported model: uint8 [N, 3, C, C] -> the distribution's median
    (the age) and standard deviation (the spread), float32 [N] each, in years. C is the
    architecture's `crop_size`.
    """

    mean: Tensor
    std: Tensor
    years: Tensor

    def __init__(self, architecture: Architecture, **timm_options: Any) -> None:
        super().__init__()
        self.size, self.shift = architecture.size, architecture.shift
        self.crop_size = architecture.crop_size
        trained: Any = timm.get_pretrained_cfg(architecture.backbone)
        if trained.fixed_input_size:  # as of most transformers, which must be told another one
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
        """Views with values 0 to 255, [N, 3, S, S] -> what tells their years, [N, F]."""
        pixels = (faces - self.mean) / self.std
        # in the precision of the weights, which whoever serves the exported model may lower
        features: Tensor = self.neck(self.backbone(pixels.type_as(self.head.weight)))
        return features

    def shares(self, features: Tensor) -> Tensor:
        """Features [N, F] -> float32 [N, 117], the share of each year."""
        logits: Tensor = self.head(features)
        return logits.float().softmax(dim=1)

    def moments(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, [N] years each, of distributions [N, 117] over the years."""
        mean = (shares * self.years).sum(dim=1)
        variance = (shares * (self.years - mean[:, None]) ** 2).sum(dim=1)
        return mean, variance.sqrt()

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 3, C, C] -> age [N], spread [N], float32 in years."""
        shares = self.distribution(faces)
        _, spread = self.moments(shares)
        return median(shares), spread

    def distribution(self, faces: Tensor) -> Tensor:
        """uint8 [N, 3, C, C] -> float32 [N, 117], the share of each year, averaged over views."""
        views = (self._views(faces) if self.shift else faces).float()
        shares = self.shares(self.features(views))
        if not self.shift:
            return shares
        averaged: Tensor = shares.unflatten(0, (-1, 2)).mean(dim=1)
        return averaged

    def _views(self, faces: Tensor) -> Tensor:
        """[N, 3, C, C] -> [2 N, 3, S, S]: both of the first face, both of the second, ..."""
        across = faces[..., self.shift : self.shift + self.size]
        upper, lower = across[:, :, : self.size], across[:, :, 2 * self.shift :]
        return torch.stack([upper, lower.flip(3)], dim=1).flatten(0, 1)


def resized(faces: Tensor, side: int) -> Tensor:
    """Float [N, 3, S, S] -> [N, 3, side, side], averaging where they become smaller."""
    if faces.shape[-1] == side:
        return faces
    return functional.interpolate(faces, size=side, mode="bilinear", antialias=True)


def median(shares: Tensor) -> Tensor:
    """Where half of each distribution, [N, 117] over the years, lies below: [N], 0 to 116.

    No other estimate has a smaller absolute error under the distribution. A year's share counts as
    spread evenly over half a year on either side of it.
    """
    below = shares.cumsum(dim=1)
    year = (below < 0.5).sum(dim=1, keepdim=True).clamp(max=MAX_AGE)
    share = shares.gather(1, year)
    part = (0.5 - below.gather(1, year) + share) / share
    return (year - 0.5 + part).squeeze(1).clamp(0, MAX_AGE)


def target_distribution(ages: Tensor, sigma: float) -> Tensor:
    """Gaussians around `ages` [N] over the whole years 0 to 116, each row summing to 1.

    Label distribution learning: neighbouring ages share the label (Geng et al., TPAMI 2013).
    """
    years = torch.arange(MAX_AGE + 1, dtype=torch.float32, device=ages.device)
    return (-((years - ages[:, None]) ** 2) / (2 * sigma**2)).softmax(dim=1)
