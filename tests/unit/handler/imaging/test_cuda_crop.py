"""What is cut out and put together for the kernel, with Pillow in its place."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.imaging import cuda_crop
from handler.imaging.crop import crop_faces
from handler.imaging.cuda_crop import CudaCropper
from handler.rotation import turned
from handler.task import CropGeometry
from tests.images import scene
from tests.unit.handler.imaging import pillow_crops

CPU = torch.device("cpu")
PLAIN = CropGeometry(size=16, margin=0.0, fill=0)


@pytest.fixture(scope="module", autouse=True)
def on_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_crop, "scale", pillow_crops.scale)
        yield


@pytest.fixture(scope="module")
def cropper() -> CudaCropper:
    return CudaCropper(CPU)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_crops_of_several_images_and_sizes(cropper: CudaCropper) -> None:
    given = [
        (scene(60, 80), boxes((10, 5, 50, 45), (-9, -9, 20, 20)), PLAIN),
        (scene(30, 30), boxes(), PLAIN),
        (scene(200, 90), boxes((3, 100, 90, 190)), CropGeometry(24, 0.3, 77)),
    ]
    found = cropper.scaled([cropper.cut(*each) for each in given])
    for crops, each in zip(found, given, strict=True):
        assert np.array_equal(crops.numpy(), crop_faces(*each))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_view(cropper: CudaCropper, rotation: int) -> None:
    """Whose rows lie elsewhere in memory."""
    view = turned(scene(60, 80), rotation)
    given = (boxes((10, 5, 50, 45), (-9, -9, 20, 20)), PLAIN)
    (crops,) = cropper.scaled([cropper.cut(view, *given)])
    assert np.array_equal(crops.numpy(), crop_faces(np.ascontiguousarray(view), *given))


def test_no_faces_at_all(cropper: CudaCropper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_crop, "scale", lambda *given: pytest.fail("launched"))
    (crops,) = cropper.scaled([cropper.cut(scene(30, 30), boxes(), PLAIN)])
    assert crops.shape == (0, 3, 16, 16)
    assert cropper.scaled([]) == []


@given(
    st.tuples(*[st.floats(-60, 90)] * 2, *[st.floats(0, 120)] * 2),
    st.floats(-0.5, 2),
    st.integers(1, 30),
)
@settings(max_examples=100)
def test_any_box(cropper: CudaCropper, box: Any, margin: float, size: int) -> None:
    left, top, width, height = box
    geometry = CropGeometry(size, margin, 200)
    given = (scene(40, 50), boxes((left, top, left + width, top + height)), geometry)
    (crops,) = cropper.scaled([cropper.cut(*given)])
    # float32 holds what float64 does of places that are 32nds of a pixel
    assert np.abs(crops.numpy().astype(int) - crop_faces(*given)).max() <= 1


def test_a_cut_needs_the_image_no_longer(cropper: CudaCropper) -> None:
    image = scene(60, 80).copy()
    cut = cropper.cut(image, boxes((10, 5, 50, 45)), PLAIN)
    expected = crop_faces(image, boxes((10, 5, 50, 45)), PLAIN)
    image[:] = 0
    (crops,) = cropper.scaled([cut])
    assert np.array_equal(crops.numpy(), expected)


def test_no_more_than_is_needed_is_cut_out(cropper: CudaCropper) -> None:
    (part,) = cropper.cut(scene(500, 700), boxes((100, 100, 164, 164)), PLAIN).parts
    assert part.shape == (75, 75, 3)  # a filter of 4 pixels on either side, and roundings


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_crop, "scale", lambda *given: given[-1].fill_(3))
    with pytest.raises(RuntimeError, match=r"the crop of one pixel is \[3, 3, 3\]"):
        CudaCropper(CPU)
