"""A timm backbone with a head for a task's classes: the network that is trained and exported."""

import json
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from handler.task import LARGEST_CROP, MOST_CLASSES, Ordinal

LUMA = (0.299, 0.587, 0.114)  # of RGB, ITU-R BT.601
YEARS = 117  # classes of the age model: architectures of version 1 name no number


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
    # one as much lower and, with `mirror`, mirrored; 0: one view, the crop itself.
    shift: int = 0
    hidden: int = 0  # units of a layer between backbone and head; 0: no such layer
    classes: int = YEARS  # length of the distributions
    mirror: bool = True  # whether the second view is mirrored
    grey: bool = False  # whether the network sees the luma of its input alone

    @property
    def crop_size(self) -> int:
        """Side of the network's square input, pixels."""
        return self.size + 2 * self.shift

    def __post_init__(self) -> None:
        """Raises ValueError for values that no network can be built from."""
        bounds = {"size": (1, LARGEST_CROP), "shift": (0, LARGEST_CROP), "hidden": (0, 1 << 16)}
        bounds["classes"] = (2, MOST_CLASSES)
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}: {value!r}")
        for name, least in (("mean", -10.0), ("std", 1e-6)):
            values = getattr(self, name)
            if len(values) != 3 or not all(_is_between(each, least, 10.0) for each in values):
                raise ValueError(f"{name} must be three numbers from {least:g} to 10: {values!r}")

    @classmethod
    def of_timm(
        cls,
        backbone: str,
        size: int,
        classes: int = YEARS,
        *,
        mirror: bool = True,
        grey: bool = False,
    ) -> "Architecture":
        """The architecture with the normalisation of timm's pretrained weights.

        Raises ValueError for an unknown backbone.
        """
        trained: Any = timm.get_pretrained_cfg(backbone)
        if trained is None:
            raise ValueError(f"timm has no backbone {backbone}: see timm.list_models()")
        mean, std = tuple(trained.mean), tuple(trained.std)
        return cls(backbone, size, mean, std, classes=classes, mirror=mirror, grey=grey)

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


class Network(nn.Module):
    """Crops -> a distribution over the classes of a task; trained and served alike.

    `forward` is the contract of an exported model: uint8 [N, 3, C, C] -> probabilities, float32
    [N, K]. C is the architecture's `crop_size`, K its `classes`.
    """

    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, architecture: Architecture, **timm_options: Any) -> None:
        super().__init__()
        self.size, self.shift = architecture.size, architecture.shift
        self.mirror, self.grey = architecture.mirror, architecture.grey
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
        self.head = nn.Linear(self.width, architecture.classes)
        constants = {
            "mean": torch.tensor(architecture.mean).view(1, 3, 1, 1) * 255,
            "std": torch.tensor(architecture.std).view(1, 3, 1, 1) * 255,
        }
        if architecture.grey:
            constants["luma"] = torch.tensor(LUMA).view(1, 3, 1, 1)
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def features(self, faces: Tensor) -> Tensor:
        """Images with values 0 to 255, [N, 3, S, S] -> the head's input, [N, F]."""
        if self.grey:
            faces = (faces * self.luma).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        pixels = (faces - self.mean) / self.std
        # in the weights' precision, which serving may lower
        features: Tensor = self.neck(self.backbone(pixels.type_as(self.head.weight)))
        return features

    def probabilities(self, features: Tensor) -> Tensor:
        """Features [N, F] -> the probability of each class, float32 [N, K]."""
        logits: Tensor = self.head(features)
        return logits.float().softmax(dim=1)

    def forward(self, faces: Tensor) -> Tensor:
        """uint8 [N, 3, C, C] -> probability of each class, averaged over views, float32 [N, K]."""
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
        lower = lower.flip(3) if self.mirror else lower
        return torch.stack([upper, lower], dim=1).flatten(0, 1)


def resized(faces: Tensor, side: int) -> Tensor:
    """Float [N, 3, S, S] -> [N, 3, side, side], bilinear, antialiased."""
    if faces.shape[-1] == side:
        return faces
    return functional.interpolate(faces, size=side, mode="bilinear", antialias=True)


def target_distribution(values: Tensor, sigma: Tensor | float, output: Ordinal) -> Tensor:
    """Gaussians around `values` [N] over the numbers of `output`, float32 [N, K], rows sum to 1.

    `sigma`: their standard deviation, one for all or [N, 1].

    Label distribution learning (Geng et al., TPAMI 2013).
    """
    numbers = torch.arange(output.low, output.high + 1, dtype=torch.float32, device=values.device)
    return (-((numbers - values[:, None]) ** 2) / (2 * sigma**2)).softmax(dim=1)


def expectation(probabilities: Tensor, output: Ordinal) -> Tensor:
    """Means [N] of distributions [N, K] over the numbers of `output`."""
    numbers = torch.arange(output.low, output.high + 1, dtype=torch.float32)
    return (probabilities * numbers.to(probabilities.device)).sum(dim=1)
