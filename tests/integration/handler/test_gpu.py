"""The pipeline with the GPU's detector: of the CPU's answers, whatever the batch.

Without a GPU all is computed on the CPU, with torch's averages and Pillow's crops in the kernels'
places.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from handler.answer import Answer, Face
from handler.contract import Contract
from handler.cuda_graphs import GraphedModel
from handler.errors import DeviceLost, Failure, OutOfMemory
from handler.faces import detector, packed_images
from handler.faces.cuda_mtcnn import CudaMTCNN
from handler.imaging import cuda_crop
from handler.imaging.cuda_crop import CudaCropper
from handler.imaging.cuda_decode import CudaDecoder
from handler.imaging.decode import decode
from handler.options import Options
from handler.pipeline import Pipeline
from handler.predictor import Predictor
from handler.requests import Request
from handler.settings import Precision, Settings, SettingsError
from tests.archives import Brightness, exported, of_ages
from tests.images import astronaut, encoded, scaled, scene, side_by_side, turned
from tests.torchserve import ROOT
from tests.unit.handler.answers import age_of, answered, faces_of, ordinal
from tests.unit.handler.faces import area_averages
from tests.unit.handler.imaging import pillow_crops
from train import torchscript

CUDA = torch.device("cuda")
BODIES = {
    "portrait": encoded(astronaut(), "JPEG"),
    "small": encoded(scaled(astronaut(), 0.4)),
    "turned": turned(astronaut()[:, 50:], 6, "JPEG"),
    "tight": encoded(np.ascontiguousarray(astronaut()[70:185, 175:275])),
    "several": encoded(side_by_side(*(scaled(astronaut(), f) for f in (1.0, 0.6, 0.4)))),
    "large": encoded(scaled(astronaut(), 3.1), "JPEG"),
    "none": encoded(scene(201, 333)),
    "one pixel": encoded(scene(1, 1)),
}


@pytest.fixture(scope="module", params=["CPU", pytest.param("GPU", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest):
    if request.param == "GPU":
        yield torch.device("cuda")
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(detector, "mtcnn_for", lambda device: (CudaMTCNN, device))
        patched.setattr(packed_images, "average", area_averages.average)
        patched.setattr("handler.pipeline.cropper_for", CudaCropper)
        patched.setattr(cuda_crop, "scale", pillow_crops.scale)
        yield torch.device("cpu")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("shipped") / "age.pt"
    torchscript.build(ROOT / "model_store" / "age.safetensors", model)
    return model


@pytest.fixture(scope="module")
def pipeline(device: torch.device, shipped: Path) -> Pipeline:
    return Pipeline.load([shipped], Settings(precision="float32"), device)


@pytest.fixture(scope="module")
def answers(shipped: Path) -> dict[str, Answer]:
    """Of the CPU alone, one image at a time."""
    of_cpu = cpu_pipeline(shipped)
    return {name: answered(*of_cpu.run([Request(body)])) for name, body in BODIES.items()}


def cpu_pipeline(shipped: Path) -> Pipeline:
    with patch("handler.pipeline.cropper_for", lambda device: None):
        return Pipeline.load([shipped], Settings(precision="float32"), torch.device("cpu"))


def asked(pipeline: Pipeline, names: Sequence[str]) -> list[Answer]:
    return [answered(each) for each in pipeline.run([Request(BODIES[name]) for name in names])]


def assert_same(found: Answer, expected: Answer) -> None:
    """The agreement that is promised: 0.05 px and 0.05 years."""
    assert (found.width, found.height) == (expected.width, expected.height)

    def by_place(answer: Answer) -> list[Face]:
        return sorted(faces_of(answer), key=lambda face: face.box[0])

    ours, theirs = by_place(found), by_place(expected)
    assert len(ours) == len(theirs)
    for face, other in zip(ours, theirs, strict=True):
        assert face.box == pytest.approx(other.box, abs=0.05)
        assert np.array(face.landmarks) == pytest.approx(np.array(other.landmarks), abs=0.05)
        assert face.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert age_of(face).value == pytest.approx(age_of(other).value, abs=0.05)


def test_a_mixed_batch(pipeline: Pipeline, answers: dict[str, Answer]) -> None:
    for name, found in zip(BODIES, asked(pipeline, [*BODIES]), strict=True):
        assert_same(found, answers[name])


@pytest.mark.parametrize("name", BODIES)
def test_each_alone(pipeline: Pipeline, answers: dict[str, Answer], name: str) -> None:
    (found,) = asked(pipeline, [name])
    assert_same(found, answers[name])


def test_a_full_batch_of_one_size(pipeline: Pipeline, answers: dict[str, Answer]) -> None:
    for found in asked(pipeline, ["portrait"] * 8):
        assert_same(found, answers["portrait"])


def test_a_crowd(pipeline: Pipeline, shipped: Path) -> None:
    face = scaled(astronaut()[20:220, 130:330], 0.5)
    row = side_by_side(*[face] * 10)
    crowd = Request(encoded(np.concatenate([row] * 6)))
    (expected,), (found,) = cpu_pipeline(shipped).run([crowd]), pipeline.run([crowd])
    assert len(faces_of(answered(expected))) == 60
    assert sorted(f.box for f in faces_of(answered(found))) == [
        pytest.approx(box, abs=0.05) for box in sorted(f.box for f in faces_of(answered(expected)))
    ]


def test_a_face_of_the_full_size_image(pipeline: Pipeline, shipped: Path) -> None:
    """Of the reduced image it has too few pixels."""
    photograph = np.full((2700, 2600, 3), 90, np.uint8)
    photograph[1000:1461, 900:1361] = scaled(astronaut(), 0.9)
    small = Request(encoded(photograph, "JPEG"))
    (expected,), (found,) = cpu_pipeline(shipped).run([small]), pipeline.run([small])
    assert len(faces_of(answered(expected))) == 1
    assert_same(answered(found), answered(expected))


def test_quality_is_of_the_crops(pipeline: Pipeline, shipped: Path) -> None:
    several = Request(BODIES["several"], Options(quality=True))
    (expected,), (found,) = cpu_pipeline(shipped).run([several]), pipeline.run([several])
    pairs = zip(faces_of(answered(found)), faces_of(answered(expected)), strict=True)
    for quality, other in ((face.quality, same.quality) for face, same in pairs):
        assert quality is not None
        assert other is not None
        assert quality.sharpness == pytest.approx(other.sharpness, rel=0.02)
        assert quality.brightness == pytest.approx(other.brightness, abs=0.002)


def test_an_empty_batch(pipeline: Pipeline) -> None:
    assert pipeline.run([]) == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_precisions(device: torch.device, shipped: Path, answers, precision: str) -> None:
    (found,) = asked(Pipeline.load([shipped], Settings(precision=precision), device), ["portrait"])
    (face,), (other,) = faces_of(found), faces_of(answers["portrait"])
    assert age_of(face).value == pytest.approx(age_of(other).value, abs=1)


@pytest.mark.gpu
class TestGraphs:
    @pytest.mark.parametrize("precision", ["float32", "float16"])
    def test_as_without(self, shipped: Path, precision: Precision) -> None:
        """In every count, and after others, whose inputs lay in the same memory."""
        plain, graphed = (Predictor.load(shipped, CUDA, precision) for _ in range(2))
        graphed.capture_graphs()
        assert isinstance(graphed._model, GraphedModel)
        size = plain.task.input.size
        crops = np.random.default_rng(0).integers(0, 256, (9, 3, size, size), np.uint8)
        for count in (9, 3, 8, 1, 7, 2, 5, 4, 6, 1):
            found, expected = (ordinal(each.predict(crops[:count])) for each in (graphed, plain))
            assert found.value == pytest.approx(expected.value, abs=0.05)
            assert found.probabilities == pytest.approx(expected.probabilities, abs=2e-3)

    def test_a_warm_pipeline(self, shipped: Path, answers: dict[str, Answer]) -> None:
        warm = Pipeline.load([shipped], Settings(precision="float32"), CUDA)
        warm.warm_up(1)
        for name in BODIES:
            (found,) = asked(warm, [name])
            assert_same(found, answers[name])

    def test_a_model_that_waits_is_served_without(
        self, contract: Contract, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = exported(Waiting(), contract, tmp_path / "waiting.pt")
        predictor = Predictor.load(file, CUDA, "float32")
        predictor.capture_graphs()
        assert "the model runs without CUDA graphs: " in caplog.text
        crops = np.full((2, 3, 64, 64), 51, np.uint8)
        assert ordinal(predictor.predict(crops)).value == pytest.approx(20, abs=0.01)


@pytest.mark.gpu
class TestDecoder:
    """nvJPEG's pixels are others than libjpeg's."""

    @pytest.mark.parametrize("progressive", [False, True])
    def test_pixels(self, progressive: bool) -> None:
        body = encoded(astronaut(), "JPEG", progressive=progressive)
        found, expected = decode(body, 10**6, CudaDecoder(CUDA)), decode(body, 10**6)
        assert np.abs(found.astype(int) - expected).mean() < 2

    def test_a_file_that_it_refuses(self) -> None:
        assert CudaDecoder(CUDA)(b"\xff\xd8\xff\xd9") is None

    def test_a_mixed_batch(self, shipped: Path, answers: dict[str, Answer]) -> None:
        decoding = Pipeline.load([shipped], Settings(precision="float32", decoder="gpu"), CUDA)
        for name, found in zip(BODIES, asked(decoding, [*BODIES]), strict=True):
            expected = answers[name]
            assert (found.width, found.height) == (expected.width, expected.height)
            assert len(faces_of(found)) == len(faces_of(expected))
            for face, other in zip(faces_of(found), faces_of(expected), strict=True):
                assert face.box == pytest.approx(other.box, abs=5)
                assert age_of(face).value == pytest.approx(age_of(other).value, abs=5)


def test_the_decoder_needs_a_gpu(shipped: Path) -> None:
    with pytest.raises(SettingsError, match=r"handler\.decoder is gpu, and this worker is on cpu"):
        Pipeline.load([shipped], Settings(decoder="gpu"), torch.device("cpu"))


class Waiting(Brightness):
    """Asks the GPU for a value."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return of_ages(faces.float().mean(dim=(1, 2, 3)) * (100 / 255)) + float(faces.sum()) * 0


class TestOutOfMemory:
    def test_a_batch_is_split(self, pipeline: Pipeline, answers: dict[str, Answer]) -> None:
        """Every call with more than one image's faces has too little memory."""
        predict = Predictor.predict

        def short(self: Predictor, crops: np.ndarray, *more: object):
            if len(crops) > 1:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return predict(self, crops, *more)

        with patch.object(Predictor, "predict", short):
            found = pipeline.run([Request(BODIES[n]) for n in ("portrait", "several", "small")])
        assert_same(answered(found[0]), answers["portrait"])
        assert isinstance(found[1], OutOfMemory)
        assert_same(answered(found[2]), answers["small"])

    def test_it_goes_on_afterwards(self, pipeline: Pipeline, answers: dict[str, Answer]) -> None:
        (found,) = asked(pipeline, ["several"])
        assert_same(found, answers["several"])


def test_a_lost_device_ends_the_worker(pipeline: Pipeline) -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered")
    with patch.object(Predictor, "predict", side_effect=lost), pytest.raises(DeviceLost):
        pipeline.run([Request(BODIES["portrait"])])


def test_a_failure_is_its_own(pipeline: Pipeline, answers: dict[str, Answer]) -> None:
    found = pipeline.run([Request(BODIES["portrait"]), Request(b"%PDF"), Request(BODIES["none"])])
    assert_same(answered(found[0]), answers["portrait"])
    assert isinstance(found[1], Failure)
    assert_same(answered(found[2]), answers["none"])


@pytest.mark.gpu
def test_the_text_of_a_lost_device_is_that_of_torch() -> None:
    """In a process of its own, whose GPU is lost afterwards."""
    code = (
        "import torch\n"
        "from handler.device_errors import to_failure\n"
        "from handler.errors import DeviceLost\n"
        "try:\n"
        "    torch.zeros(1, device='cuda')[torch.tensor([5], device='cuda')].cpu()\n"
        "except Exception as error:\n"
        "    try:\n"
        "        to_failure(error)\n"
        "    except DeviceLost:\n"
        "        print('lost')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "lost\n", done.stderr
