"""Decodes JPEGs on a GPU, by nvJPEG.

Its pixels are not libjpeg's, as it does not interpolate chroma.
"""

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from handler.imaging.crop import RGBImage


class CudaDecoder:
    """nvJPEG on one GPU."""

    def __init__(self, device: torch.device) -> None:
        """Raises RuntimeError where it decodes nothing, as where torchvision is built without."""
        self._device = device
        self._decoded(encode_jpeg(torch.full((3, 16, 16), 128, dtype=torch.uint8)))

    def __call__(self, jpeg: bytes) -> RGBImage | None:
        """The pixels, uint8 [H, W, 3], on the host; None if nvJPEG refuses the file."""
        try:
            return self._decoded(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8))
        except RuntimeError:
            return None

    def _decoded(self, jpeg: Tensor) -> RGBImage:
        pixels: Tensor = decode_jpeg(jpeg, ImageReadMode.RGB, self._device)
        image: RGBImage = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
        return image
