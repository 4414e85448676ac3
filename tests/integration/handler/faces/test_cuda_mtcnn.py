"""The GPU's detector with its kernel: on a GPU, or by Triton's interpreter without one."""

import pytest
import torch

from handler.faces import cuda_mtcnn
from handler.faces.cuda_mtcnn import CudaMTCNN
from handler.faces.detector import mtcnn_for
from handler.faces.mtcnn import BatchedMTCNN
from handler.task import DetectorSettings
from tests.images import astronaut, scaled

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_finds_the_face_of_the_cpu() -> None:
    images = [scaled(astronaut()[40:220, 150:300], 0.5)]
    found = CudaMTCNN(DetectorSettings(), 40, DEVICE).detect(images)
    expected = BatchedMTCNN(DetectorSettings(), 40, torch.device("cpu")).detect(images)
    assert expected.image.tolist() == found.image.tolist() == [0]
    assert found.boxes == pytest.approx(expected.boxes, abs=0.05)
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)
    assert found.landmarks == pytest.approx(expected.landmarks, abs=0.05)


def test_is_chosen_by_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 1)
    assert mtcnn_for(cpu) == (BatchedMTCNN, cpu)
    monkeypatch.setattr(cuda_mtcnn, "compile_kernel", lambda device: None)
    assert mtcnn_for(gpu) == (CudaMTCNN, gpu)


def test_the_kernel_compiles() -> None:
    cuda_mtcnn.compile_kernel(DEVICE)


def test_the_cpu_is_taken_where_it_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify")

    monkeypatch.setattr(cuda_mtcnn, "compile_kernel", fail)
    assert mtcnn_for(torch.device("cuda")) == (BatchedMTCNN, torch.device("cpu"))
    assert "(Failed to find C compiler. Please specify): it needs gcc, " in caplog.text


def test_a_wrong_average_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler.faces.packed_images.average", lambda *given: None)
    with pytest.raises(RuntimeError, match=r"the average of one pixel is \[0.0, 0.0, 0.0, 0.0\]"):
        cuda_mtcnn.compile_kernel(DEVICE)
