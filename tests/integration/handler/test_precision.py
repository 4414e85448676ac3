"""The shipped weights in every precision that the processor has."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handler.hardware import fast_in_int8
from handler.imaging.crop import crop_faces
from handler.predictor import Predictor
from handler.settings import Precision
from handler.task import FaceInput
from tests.images import FACE_BOX, astronaut
from tests.unit.handler.answers import ordinal
from train.torchscript import build

CPU = torch.device("cpu")
SHIPPED = Path(__file__).resolve().parents[3] / "model_store" / "age.safetensors"
PRECISIONS = ["float32", "bfloat16", "float16", "int8"]
# Without VNNI torch's sums in 8 bits can overflow, which is why `auto` does not choose them there.
WITH_WHOLE_SUMS = pytest.mark.skipif(
    not fast_in_int8(CPU), reason="the processor has no VNNI: 8 bits are not served on it"
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    """The weights of the repository in every precision."""
    file = tmp_path_factory.mktemp("shipped") / "age.pt"
    build(SHIPPED, file)
    return {p: Predictor.load(file, CPU, p) for p in get_args(Precision) if p != "auto"}


@pytest.fixture(scope="module")
def portraits(shipped: dict[str, Predictor]) -> NDArray[np.uint8]:
    """One face, framed in several ways, in several lights."""
    boxes = np.random.default_rng(0).normal(FACE_BOX, 8, (48, 4)).astype(np.float32)
    of = shipped["float32"].task.input
    assert isinstance(of, FaceInput)
    faces = crop_faces(astronaut(), boxes, of.crop)
    light = np.linspace(0.5, 1, len(faces))[:, None, None, None]
    return (faces * light).astype(np.uint8)


@pytest.mark.parametrize(
    ("precision", "mean", "most"),
    [
        ("bfloat16", 0.01, 0.2),
        ("float16", 0.002, 0.03),
        pytest.param("int8", 0.04, 1.5, marks=WITH_WHOLE_SUMS),
    ],
)
def test_rounding_changes_the_shipped_model_s_ages_little(
    shipped: dict[str, Predictor],
    portraits: NDArray[np.uint8],
    precision: str,
    mean: float,
    most: float,
) -> None:
    assert [shipped[p].precision for p in PRECISIONS] == PRECISIONS
    exact, rounded = (ordinal(shipped[p].predict(portraits)) for p in ("float32", precision))
    difference = np.abs(exact.value - rounded.value)
    # of what the model itself leaves open: surer weights have less to lose
    assert 0 < difference.mean() < mean * exact.std.mean()
    assert difference.max() < most
    assert np.abs(exact.std - rounded.std).max() < most
    assert rounded.value.dtype == rounded.std.dtype == rounded.interval.dtype == np.float32


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_face_does_not_change_another_s_age(
    shipped: dict[str, Predictor], portraits: NDArray[np.uint8], precision: str
) -> None:
    """The promise is 0.05 years."""
    together = ordinal(shipped[precision].predict(portraits))
    for count in (1, 3, 8):
        part = ordinal(shipped[precision].predict(portraits[:count]))
        assert part.value == pytest.approx(together.value[:count], abs=0.01)
        assert part.interval == pytest.approx(together.interval[:count], abs=0.02)
