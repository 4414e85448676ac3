"""JPEG compression of a batch in torch's operators, on any device.

Steps, tables and roundings are those of libjpeg's defaults: 4:2:0 chroma, upsampled by a triangle
filter (ITU-T T.81, JFIF 1.02). Its DCT and colours are in whole numbers, so some pixels differ.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8  # side of a block of the DCT

# of luma and of chroma, T.81, tables K.1 and K.2
_TABLES = (
    (
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
        *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
        *(99,) * 32,
    ),
)
# luma and chroma of RGB and back, JFIF; chroma is centred at 0
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Images as they are after they were coded as JPEG and decoded.

    Args:
        images: uint8 RGB [n, 3, H, W], at least one, of at least 5 pixels a side.
        quality: int64 [n], 1 to 100 on libjpeg's scale; on the CPU or the images' device.

    Returns:
        uint8 [n, 3, H, W].
    """
    # a training step's autocast would round the DCT to 8 bits
    with torch.autocast(images.device.type, enabled=False):
        return _compressed(images, _on(images.device, _steps(quality)))


def _compressed(images: Tensor, steps: Tensor) -> Tensor:
    """As `compress`; `steps`: float32 [n, 2, 64], of luma and of chroma."""
    height, width = images.shape[2:]
    margin = (0, -width % (2 * _BLOCK), 0, height % 2)
    colours = _mixed(functional.pad(images.float(), margin, mode="replicate"), _TO_YCC).round_()
    luma = _coded(colours[:, :1] - 128, steps[:, 0]) + 128
    chroma = _coded(_halved(colours[:, 1:]), steps[:, 1])
    # the filter that enlarges chroma does not see the padding
    chroma = functional.interpolate(
        chroma[..., : math.ceil(height / 2), : math.ceil(width / 2)],
        scale_factor=2,
        mode="bilinear",
        align_corners=False,
    ).round_()
    colours = torch.cat([part[..., :height, :width] for part in (luma, chroma)], dim=1)
    return _mixed(colours, _TO_RGB).round_().clamp_(0, 255).byte()


def _steps(quality: Tensor) -> Tensor:
    """The steps of quantisation, float32 [n, 2, 64], by libjpeg's formula."""
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None, None]
    tables = torch.tensor(_TABLES, device=quality.device)
    return ((tables * percent + 50) // 100).clamp(1, 255).float()


def _mixed(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The colours of float32 [n, 3, H, W] times a matrix."""
    # no convolution, which cuDNN rounds to TF32
    return (_on(images.device, torch.tensor(matrix)) @ images.flatten(2)).view(images.shape)


def _halved(planes: Tensor) -> Tensor:
    """Whole means of 2 x 2 pixels; libjpeg rounds halves down and up, column by column."""
    means = functional.avg_pool2d(planes, 2)
    rounding = torch.tensor((0.25, 0.5)).repeat(means.shape[-1] // 2)
    return (means + _on(planes.device, rounding)).floor_()


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes after the DCT, quantisation and back: whole numbers from -128 to 127.

    Args:
        planes: float32 [n, c, H, W], of a width that blocks divide.
        steps: float32 [n, 64].

    Returns:
        float32 [n, c, H', W], of a height that blocks divide.
    """
    # rows are padded here, as libjpeg pads chroma's after it halved them
    planes = functional.pad(planes, (0, 0, 0, -planes.shape[2] % _BLOCK), mode="replicate")
    n, c, height, width = planes.shape
    dct, steps = _on(planes.device, _dct()), steps[:, None]
    grid = planes.view(n, c, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = grid.transpose(3, 4).reshape(n, -1, _BLOCK**2)
    # libjpeg's DCT gives whole eighths, and halves of a step are common among those
    eighths = (blocks @ (8 * dct.T)).round_()
    levels = eighths.abs().div_(8 * steps).add_(0.5).floor_().copysign_(eighths)
    found = levels.mul_(steps) @ dct
    grid = found.view(n, c, height // _BLOCK, width // _BLOCK, _BLOCK, _BLOCK).transpose(3, 4)
    return grid.reshape(planes.shape).round_().clamp_(-128, 127)


def _dct() -> Tensor:
    """The DCT of a block as a matrix of its 64 pixels, row by row, float32 [64, 64]."""
    k = torch.arange(_BLOCK)
    rows = math.sqrt(2 / _BLOCK) * torch.cos((2 * k + 1) * k[:, None] * math.pi / (2 * _BLOCK))
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows)


def _on(device: torch.device, values: Tensor) -> Tensor:
    """A few values on a device, without a wait for what a GPU computes."""
    return values.to(device, non_blocking=True)
