"""The GPU's detector with its kernel: on a GPU, or by Triton's interpreter without one."""

import pytest
import torch

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


def test_is_chosen_by_the_device() -> None:
    assert mtcnn_for(torch.device("cuda", 1)) is CudaMTCNN
    assert mtcnn_for(torch.device("cpu")) is BatchedMTCNN
