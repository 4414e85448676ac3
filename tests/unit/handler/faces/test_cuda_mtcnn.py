"""The GPU's detector finds what the CPU's does.

Here the kernel's averages are torch's, and all is computed on the CPU: tests/integration has the
kernel too.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from handler.faces import cuda_mtcnn, packed_images
from handler.faces.cuda_mtcnn import CudaMTCNN
from handler.faces.integral_image import IntegralImages
from handler.faces.mtcnn import BatchedMTCNN, Detections
from handler.faces.nms import TOGETHER
from handler.faces.packed_images import PackedImages
from handler.imaging.crop import RGBImage
from handler.task import DetectorSettings
from tests.images import astronaut, bordered, scaled, scene, side_by_side
from tests.unit.handler.faces import area_averages

CPU = torch.device("cpu")
# Operators that wait for a GPU: their result's size, or a value, is needed on the host.
WAITS = {"nonzero", "_local_scalar_dense", "nms", "_to_copy"}
IMAGES = [
    astronaut(),
    scaled(astronaut(), 0.37),
    scene(30, 25),  # too small for a face
    bordered(scaled(astronaut(), 0.7), 60, grey=90),
    side_by_side(*(scaled(astronaut(), f) for f in (1.0, 0.6, 0.4))),
    np.ascontiguousarray(astronaut()[80:300, 200:500]),
    scene(201, 333),
]


@pytest.fixture(scope="module", autouse=True)
def on_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_images, "average", area_averages.average)
        yield


@pytest.fixture(scope="module")
def cuda() -> CudaMTCNN:
    return CudaMTCNN(DetectorSettings(), 40, CPU)


@pytest.fixture(scope="module")
def cpu() -> BatchedMTCNN:
    return BatchedMTCNN(DetectorSettings(), 40, CPU)


def sorted_of(found: Detections, image: int) -> list[np.ndarray]:
    mine = np.flatnonzero(found.image == image)
    mine = mine[np.argsort(found.boxes[mine, 0])]
    return [found.boxes[mine], found.confidence[mine], found.landmarks[mine]]


def assert_same(found: Detections, expected: Detections, images: int) -> None:
    for image in range(images):
        boxes, confidence, landmarks = sorted_of(found, image)
        wanted = sorted_of(expected, image)
        assert boxes == pytest.approx(wanted[0], abs=0.05)
        assert confidence == pytest.approx(wanted[1], abs=1e-3)
        assert landmarks == pytest.approx(wanted[2], abs=0.05)


def test_the_faces_of_a_batch_are_those_of_the_cpu(cuda: CudaMTCNN, cpu: BatchedMTCNN) -> None:
    found = cuda.detect(IMAGES)
    assert len(found.boxes) >= 7
    assert_same(found, cpu.detect(IMAGES), len(IMAGES))


@pytest.mark.parametrize("index", range(len(IMAGES)))
def test_an_image_alone_is_as_in_a_batch(cuda: CudaMTCNN, index: int) -> None:
    alone, together = cuda.detect([IMAGES[index]]), cuda.detect(IMAGES)
    for one, other in zip(sorted_of(alone, 0), sorted_of(together, index), strict=True):
        assert one == pytest.approx(other, abs=0.05)


@given(st.lists(st.tuples(st.integers(1, 130), st.integers(1, 130)), min_size=1, max_size=4))
@settings(max_examples=10)
def test_the_windows_are_those_of_the_cpu(
    cuda: CudaMTCNN, cpu: BatchedMTCNN, sizes: list[tuple[int, int]]
) -> None:
    """Of odd sizes, where a level's end must not be pooled with what is after it."""
    images = [np.ascontiguousarray(astronaut()[60 : 60 + h, 170 : 170 + w]) for h, w in sizes]
    with torch.inference_mode():
        (_, ours), (_, theirs) = cuda._windows(images), cpu._windows(images)
    assert (ours is None) == (theirs is None)
    if ours is None or theirs is None:
        return

    def places(cells: Any) -> dict[tuple[float, ...], float]:
        keys = zip(cells.image.tolist(), cells.scale.tolist(), *cells.place.T.tolist(), strict=True)
        return dict(zip(keys, cells.score.tolist(), strict=True))

    found, expected = places(ours), places(theirs)
    sure = {key for key, score in {**found, **expected}.items() if abs(score - 0.6) > 1e-4}
    assert found.keys() & sure == expected.keys() & sure
    assert [found[key] for key in sure] == pytest.approx([expected[key] for key in sure], abs=1e-4)


def test_crops_are_those_of_integral_images() -> None:
    images = [astronaut()[:7, :90], astronaut()[:41, :33], astronaut()[:1, :1]]
    index = torch.tensor([0, 0, 1, 1, 2, 0])
    areas = torch.tensor(
        [[0, 0, 90, 7], [3, 2, 4, 5], [1, 1, 33, 41], [9, 20, 30, 22], [0, 0, 1, 1], [80, 0, 90, 7]]
    )
    packed = PackedImages(images, CPU)
    for side in (24, 48):
        assert torch.allclose(
            packed.crops(index, areas, side),
            IntegralImages(images).crops(index, areas, side),
            atol=1e-4,
        )
    assert packed.limits.tolist() == [[90, 7], [33, 41], [1, 1]]


class TestChunks:
    def test_similar_sizes_go_together(
        self, cuda: CudaMTCNN, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = [(512, 512), (2000, 1500), (500, 512), (64, 64), (2000, 2000), (20, 20)]
        assert cuda._chunks(sizes) == [[5, 3, 2, 0, 1, 4]]
        monkeypatch.setattr(cuda_mtcnn, "CANVAS_PIXELS", 400_000)
        assert cuda._chunks(sizes) == [[5, 3, 2, 0], [1], [4]]

    def test_the_faces_are_the_same(
        self, cuda: CudaMTCNN, cpu: BatchedMTCNN, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cuda_mtcnn, "CANVAS_PIXELS", 1)
        calls: list[None] = []
        found = cuda.detect(IMAGES[:4], lambda: calls.append(None))
        assert len(calls) == 4
        assert_same(found, cpu.detect(IMAGES[:4]), 4)


class Counted(TorchDispatchMode):
    """Counts operators, most of which are launches on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


class TestLaunches:
    @staticmethod
    def count(cuda: CudaMTCNN, monkeypatch: pytest.MonkeyPatch, images: list[RGBImage]) -> Counter:
        """The operators and the kernel's launches of one batch, whose sizes are known."""
        cuda.detect(images)
        launches: list[None] = []

        def average(*arguments: Any) -> None:
            launches.append(None)
            with torch.utils._python_dispatch._disable_current_modes():
                area_averages.average(*arguments)

        monkeypatch.setattr(packed_images, "average", average)
        with Counted() as counted:
            cuda.detect(images)
        counted.calls["average"] = len(launches)
        return counted.calls

    def test_do_not_grow_with_the_batch(
        self, cuda: CudaMTCNN, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(TOGETHER, "cpu", TOGETHER["cuda"])
        sizes = [0.5 + 0.01 * index for index in range(32)]
        one = self.count(cuda, monkeypatch, [astronaut()])
        many = self.count(cuda, monkeypatch, [scaled(astronaut(), size) for size in sizes])
        assert one["average"] <= many["average"] <= 4
        assert many.total() <= 500
        assert many.total() - one.total() <= 30
        waits = {name: count for name, count in many.items() if name in WAITS}
        assert sum(waits.values()) <= 20


def test_pyramids_are_kept(cuda: CudaMTCNN) -> None:
    cuda._pyramid.cache_clear()
    for _ in range(3):
        cuda.detect([astronaut(), astronaut()])
    assert cuda._pyramid.cache_info().misses == 1
