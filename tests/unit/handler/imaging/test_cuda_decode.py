"""On a CPU, where torchvision decodes by libjpeg."""

import numpy as np
import pytest
import torch
from PIL import Image

from handler.imaging import cuda_decode
from handler.imaging.cuda_decode import CudaDecoder
from tests.images import encoded, scene

CPU = torch.device("cpu")


def test_pixels_are_of_the_file() -> None:
    image = scene(37, 52)
    found = CudaDecoder(CPU)(encoded(image, "JPEG", quality=95))
    assert found is not None
    assert found.flags.c_contiguous
    assert found.shape == (37, 52, 3)
    assert np.abs(found.astype(int) - image).mean() < 3


def test_grey_becomes_rgb() -> None:
    grey = np.asarray(Image.fromarray(scene(20, 30)).convert("L"))
    found = CudaDecoder(CPU)(encoded(grey, "JPEG", quality=95))
    assert found is not None
    assert np.abs(found.astype(int) - grey[:, :, None]).max() < 6


def test_what_it_refuses_is_left_to_another() -> None:
    assert CudaDecoder(CPU)(b"\xff\xd8\xff\xd9") is None


def test_one_that_decodes_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("not compiled with nvJPEG")

    monkeypatch.setattr(cuda_decode, "decode_jpeg", fail)
    with pytest.raises(RuntimeError, match="not compiled with nvJPEG"):
        CudaDecoder(CPU)
