"""The networks of MTCNN (P-, R- and O-Net), with layers laid out for speed.

Weights are facenet-pytorch's, and so are the results, up to rounding. Differences:
tensors are `channels_last`; channels are padded to the width of vector registers; max
pooling is a maximum of strided views, several times faster than `max_pool2d` on the CPU; layers
that share an input are one; the first layer takes pixels of 0 to 255; P-Net computes offsets only
for the cells that are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from handler.faces.integral_image import CHANNELS
from handler.packages import package_folder

WIDTH = 16  # channels: float32 values in one vector register
LOWEST = -1e6  # below all outputs of the first layer, and still finite after the next two

Weights = Mapping[str, Tensor]  # a state_dict of facenet-pytorch


class ProposalNet(nn.Module):
    """P-Net: face scores of all windows of an image, 12 pixels wide with a stride of 2."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _first_conv(weights, "conv1", WIDTH), _prelu(weights, "prelu1", WIDTH)
        )
        self.body = nn.Sequential(
            _MaxPool(2),
            _conv(weights, "conv2", WIDTH, WIDTH),
            _prelu(weights, "prelu2", WIDTH),
            _conv(weights, "conv3", WIDTH),
            _prelu(weights, "prelu3"),
        )
        no, yes = weights["conv4_1.weight"].flatten(1)
        self.face = nn.Parameter(yes - no)  # the softmax of two is the sigmoid of the difference
        self.bias = nn.Parameter(weights["conv4_1.bias"].diff())
        self.offset = _linear(weights, "conv4_2")

    def forward(
        self, pixels: Tensor, beyond: Sequence[tuple[slice, slice]] = ()
    ) -> tuple[Tensor, Tensor]:
        """float32 [4, H, W], 0 to 255 -> score [h, w], features [h, w, 32].

        `beyond`: parts of the first layer's output [H - 2, W - 2] that belong to no image.
        """
        found = self.first(pixels[None])
        for rows, columns in beyond:
            found[:, :, rows, columns] = LOWEST
        score, features = self.rest(found)
        return score[0], features[0]

    def rest(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """The first layer's output [N, C, H, W] -> score [N, h, w], features [N, h, w, 32]."""
        features = self.body(found).permute(0, 2, 3, 1)
        return (features @ self.face + self.bias).sigmoid(), features

    def offsets(self, features: Tensor) -> Tensor:
        """Features of cells [n, 32] -> box offsets [n, 4]."""
        moved: Tensor = self.offset(features)
        return moved


class RefinementNet(nn.Module):
    """R-Net: refines proposals."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _first_conv(weights, "conv1", 2 * WIDTH),
            _prelu(weights, "prelu1", 2 * WIDTH),
            _MaxPool(3),
            _conv(weights, "conv2", 2 * WIDTH),
            _prelu(weights, "prelu2"),
            _MaxPool(3),
            _conv(weights, "conv3"),
            _prelu(weights, "prelu3"),
            _Flatten(),
            _linear(weights, "dense4"),
            _prelu(weights, "prelu4"),
            _linear(weights, "dense5_1", "dense5_2"),
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [N, 4, 24, 24], 0 to 255 -> score [N], offsets [N, 4]."""
        logits, offsets = self.body(pixels).split((2, 4), dim=1)
        return _face_probability(logits), offsets


class OutputNet(nn.Module):
    """O-Net: final scores, boxes and landmarks."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _first_conv(weights, "conv1", 2 * WIDTH),
            _prelu(weights, "prelu1"),
            _MaxPool(3),
            _conv(weights, "conv2"),
            _prelu(weights, "prelu2"),
            _MaxPool(3),
            _conv(weights, "conv3"),
            _prelu(weights, "prelu3"),
            _MaxPool(2),
            _conv(weights, "conv4"),
            _prelu(weights, "prelu4"),
            _Flatten(),
            _linear(weights, "dense5"),
            _prelu(weights, "prelu5"),
            _linear(weights, "dense6_1", "dense6_2", "dense6_3"),
        )

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """float32 [N, 4, 48, 48], 0 to 255 -> score [N], offsets [N, 4], landmarks [N, 5, 2]."""
        logits, offsets, points = self.body(pixels).split((2, 4, 10), dim=1)
        return _face_probability(logits), offsets, points.view(-1, 2, 5).transpose(1, 2)


@dataclass(frozen=True)
class Networks:
    """MTCNN's three networks on one device."""

    propose: ProposalNet
    refine: RefinementNet
    decide: OutputNet

    @classmethod
    def load(cls, device: torch.device) -> "Networks":
        """Load the weights that ship in facenet-pytorch's package."""
        folder = package_folder("facenet_pytorch") / "data"
        weights = [
            torch.load(folder / f"{name}.pt", map_location="cpu", weights_only=True)
            for name in ("pnet", "rnet", "onet")
        ]
        networks = cls(ProposalNet(weights[0]), RefinementNet(weights[1]), OutputNet(weights[2]))
        for network in (networks.propose, networks.refine, networks.decide):
            network.requires_grad_(False).eval().to(device)
        return networks


class _MaxPool(nn.Module):
    """Like `nn.MaxPool2d(size, stride=2, ceil_mode=True)`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return self._along(self._along(x, 2), 3)

    def _along(self, x: Tensor, dim: int) -> Tensor:
        # The last window may reach past the end and has fewer values then.
        count = -(-(x.shape[dim] - self.size) // 2) + 1
        best = _every_second(x, dim, 0).narrow(dim, 0, count)
        for start in range(1, self.size):
            other = _every_second(x, dim, start)
            n = min(count, other.shape[dim])
            part, other = best.narrow(dim, 0, n), other.narrow(dim, 0, n)
            if n == count:
                best = torch.maximum(best, other)
            else:
                torch.maximum(part, other, out=part)  # the overwritten values are not used again
        return best


def _every_second(x: Tensor, dim: int, start: int) -> Tensor:
    return x[:, :, start::2] if dim == 2 else x[..., start::2]


class _Flatten(nn.Module):
    """One row per face, in the order of facenet-pytorch's weights: by column, row, channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


def _face_probability(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)[:, 1]


def _conv(
    weights: Weights, name: str, inputs: int | None = None, outputs: int | None = None
) -> nn.Conv2d:
    """A convolution padded with zero channels to `inputs` and `outputs`."""
    weight = weights[f"{name}.weight"]
    o, i, height, width = weight.shape
    layer = nn.Conv2d(inputs or i, outputs or o, (height, width), bias=False)
    bias = torch.zeros(layer.out_channels)
    bias[:o] = weights[f"{name}.bias"]
    with torch.no_grad():
        layer.weight.zero_()[:o, :i] = weight
    layer.bias = nn.Parameter(bias)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return layer


def _first_conv(weights: Weights, name: str, outputs: int) -> nn.Conv2d:
    """A convolution over pixels of 0 to 255; facenet-pytorch's takes (pixels - 127.5) / 128."""
    layer = _conv(weights, name, CHANNELS, outputs)
    weight = layer.weight.detach() / 128
    layer.weight = nn.Parameter(weight)
    bias = cast("Tensor", layer.bias).detach()  # facenet-pytorch's layers have one
    layer.bias = nn.Parameter(bias - 127.5 * weight.sum(dim=(1, 2, 3)))
    return layer


def _prelu(weights: Weights, name: str, channels: int | None = None) -> nn.PReLU:
    slopes = weights[f"{name}.weight"]
    layer = nn.PReLU(channels or len(slopes), init=0.0)
    with torch.no_grad():
        layer.weight[: len(slopes)] = slopes
    return layer


def _linear(weights: Weights, *names: str) -> nn.Linear:
    """Several layers over the same input as one, with concatenated outputs."""
    weight = torch.cat([weights[f"{name}.weight"].flatten(1) for name in names])
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(torch.cat([weights[f"{name}.bias"] for name in names]))
    return layer
