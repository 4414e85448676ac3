"""Augmentation: random views of a batch of stored crops, on the batch's device.

The changes cover the differences between training images and users' images: pose, framing, light,
colour, resolution, compression and occlusion. Random numbers come from torch's global generator,
which `fit` seeds for every step.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.io import decode_jpeg, encode_jpeg

from train.data import jpeg

QUALITY = (15, 90)  # of JPEG compression, libjpeg's scale
_LENGTH = 1.15  # of a head, as a multiple of its width


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; see `config.yaml`. Angles in degrees, the rest as fractions."""

    rotation: float
    scale: tuple[float, float]
    shift: float
    brightness: float
    contrast: float
    saturation: float
    gamma: float
    grey: float
    soften: float
    sharpen: float
    erase: float
    compress: float = 0.0
    mirror: float = 0.5
    backdrop: float = 0.0

    def __call__(self, crops: Tensor, served: int, side: int) -> Tensor:
        """uint8 [N, 3, W, W] stored crops -> float32 [N, 3, side, side], 0 to 255.

        `served`: side of the served crop in the centre of the stored one, pixels.
        """
        faces = self._frame(self._compress(crops).float(), served, side)
        faces = self._change_backdrop(faces)
        faces = self._sharpen(self._soften(faces))
        faces = self._light(faces)
        return self._erase(faces)

    def _compress(self, crops: Tensor) -> Tensor:
        """Compress some of the batch as JPEG and decode it."""
        n = len(crops)
        # chosen on the CPU, as in `_soften`
        chosen = (torch.rand(n) < self.compress).nonzero().flatten()
        qualities = torch.randint(*QUALITY, (n,))[chosen]
        if not len(chosen):
            return crops
        crops = crops.clone()
        if crops.device.type == "cpu":  # where libjpeg is several times as fast
            for i, quality in zip(chosen.tolist(), qualities.tolist(), strict=True):
                crops[i] = decode_jpeg(encode_jpeg(crops[i], quality))
        else:
            chosen = chosen.to(crops.device, non_blocking=True)
            crops[chosen] = jpeg.compress(crops[chosen], qualities)
        return crops

    def _frame(self, crops: Tensor, served: int, side: int) -> Tensor:
        """Rotate, scale, shift and mirror; the identity is the served crop, scaled to `side`."""
        n, device = len(crops), crops.device
        angle = math.radians(self.rotation) * _uniform(n, device)
        low, high = (math.log(s) for s in self.scale)
        zoom = torch.exp(low + (high - low) * torch.rand(n, device=device))
        mirror = torch.where(torch.rand(n, device=device) < self.mirror, -1.0, 1.0)
        part = served / crops.shape[-1] / zoom  # fraction of the stored crop's side in view
        cos, sin = torch.cos(angle) * part, torch.sin(angle) * part
        x = 2 * self.shift * _uniform(n, device) * part
        y = 2 * self.shift * _uniform(n, device) * part
        matrix = torch.stack([cos * mirror, -sin, x, sin * mirror, cos, y], dim=1).view(n, 2, 3)
        grid = functional.affine_grid(matrix, [n, 3, side, side], align_corners=False)
        return functional.grid_sample(crops, grid, align_corners=False)

    def _change_backdrop(self, faces: Tensor) -> Tensor:
        """Cut some faces out of their images.

        One in three is put before one colour, one before another's backdrop, and of one the image
        ends near the face: so that a network does not tell a data set, and with it an age, by what
        is around a face.
        """
        if not self.backdrop:
            return faces
        n, _, size, _ = faces.shape
        device = faces.device
        line = (torch.arange(size, device=device) + 0.5) / size - 0.5
        radius = 0.36 + 0.18 * torch.rand(n, 1, 1, device=device)  # of the side; the face has 0.4
        x = (line / radius).abs()  # [n, 1, size]
        y = x.transpose(1, 2) / _LENGTH
        kind = torch.randint(3, (n, 1, 1), device=device)
        outside = torch.where(kind == 0, torch.maximum(x, y), x.square() + y.square()) > 1
        outside &= torch.rand(n, 1, 1, device=device) < self.backdrop
        colour = 255 * torch.rand(n, 3, 1, 1, device=device) * (kind > 0)[..., None]
        behind = torch.where((kind == 2)[..., None], faces.roll(1, 0), colour)
        return torch.where(outside[:, None], behind, faces)

    def _soften(self, faces: Tensor) -> Tensor:
        """Scale some of the batch down and up again, like small, blurred or enlarged faces."""
        # chosen on the CPU: to ask a GPU how many are chosen would wait for it
        chosen = (torch.rand(len(faces)) < self.soften).nonzero().flatten()
        if len(chosen):
            chosen, size = chosen.to(faces.device, non_blocking=True), faces.shape[-1]
            smaller = int(size * (0.25 + 0.6 * torch.rand(())))
            small = functional.interpolate(faces[chosen], size=smaller, mode="area")
            faces[chosen] = functional.interpolate(
                small, size=size, mode="bilinear", align_corners=False
            )
        return faces

    def _sharpen(self, faces: Tensor) -> Tensor:
        """Unsharp masking of some of the batch, like studio portraits and phone cameras."""
        n, device = len(faces), faces.device
        chosen = torch.rand(n, device=device) < self.sharpen
        amount = (chosen * 1.5 * torch.rand(n, device=device)).view(n, 1, 1, 1)
        blurred = functional.avg_pool2d(faces, 3, stride=1, padding=1, count_include_pad=False)
        return faces + amount * (faces - blurred)

    def _light(self, faces: Tensor) -> Tensor:
        """Change gamma, contrast, brightness and saturation; make some of the batch grey."""
        n, device = len(faces), faces.device

        def around_one(width: float) -> Tensor:
            return (1 + width * _uniform(n, device)).view(n, 1, 1, 1)

        gamma = torch.exp(self.gamma * _uniform(n, device)).view(n, 1, 1, 1)
        faces = 255 * (faces / 255).clamp(0, 1) ** gamma
        mean = faces.mean(dim=(1, 2, 3), keepdim=True)
        faces = (faces - mean) * around_one(self.contrast) + mean * around_one(self.brightness)
        grey = faces.mean(dim=1, keepdim=True)
        colour = around_one(self.saturation)
        colour = colour * (torch.rand(n, 1, 1, 1, device=device) >= self.grey)
        return ((faces - grey) * colour + grey).clamp(0, 255)

    def _erase(self, faces: Tensor) -> Tensor:
        """Random erasing: cover a box of some faces in one colour (Zhong et al., AAAI 2020)."""
        n, _, size, _ = faces.shape
        device = faces.device
        extent = 0.1 + 0.3 * torch.rand(n, 2, device=device)
        start = torch.rand(n, 2, device=device) * (1 - extent)
        line = (torch.arange(size, device=device) + 0.5) / size
        inside = (line >= start[..., None]) & (line < (start + extent)[..., None])  # [n, 2, size]
        box = inside[:, 0, :, None] & inside[:, 1, None, :]
        box &= torch.rand(n, 1, 1, device=device) < self.erase
        colour = 255 * torch.rand(n, 3, 1, 1, device=device)
        return torch.where(box[:, None], colour, faces)


def mixup(faces: Tensor, part: float) -> tuple[Tensor, Tensor]:
    """Mix a `part` of the faces, [N, 3, S, S], with another of the batch; also gives which, [N].

    The ratio is uniform in 0 to 1 (Zhang et al., mixup, ICLR 2018).
    """
    n, device = len(faces), faces.device
    chosen = torch.rand(n, device=device) < part
    ratio = torch.rand(n, device=device) * chosen
    return faces.lerp(faces.roll(1, 0), ratio.view(n, 1, 1, 1)), chosen


def _uniform(n: int, device: torch.device) -> Tensor:
    """`n` uniform random numbers from -1 to 1."""
    return 2 * torch.rand(n, device=device) - 1
