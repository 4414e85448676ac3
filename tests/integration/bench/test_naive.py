import importlib
import json

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from bench.naive.ages import Ages, Detector
from bench.naive.handler import NaiveHandler
from handler.imaging.crop import crop_faces
from tests.images import FACE_BOX, astronaut, encoded, scaled, scene, turned

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def facenet():
    return MTCNN(keep_all=True)


def test_faces_are_facenets(model_file, facenet):
    answer = Ages(model_file, Detector(), CPU).answer(encoded(astronaut()))
    boxes, confidence = facenet.detect(astronaut())
    assert [face["box"] for face in answer["faces"]] == boxes.tolist()
    assert [face["confidence"] for face in answer["faces"]] == confidence.tolist()
    assert answer["faces"][0]["box"] == pytest.approx(FACE_BOX, abs=2)
    assert (answer["width"], answer["height"]) == (512, 512)


def test_age_is_the_models_of_our_crop(model_file, contract):
    """`Brightness` says how light the crop is: as light as the crop that we cut."""
    (face,) = Ages(model_file, Detector(), CPU).answer(encoded(astronaut()))["faces"]
    crops = crop_faces(astronaut(), np.array([face["box"]], np.float32), contract.task.input.crop)
    assert face["age"] == pytest.approx(crops.mean() * 100 / 255, abs=0.5)
    low, high = face["age_interval"]
    assert (face["age"] - low, high - face["age"]) == pytest.approx((5, 5), abs=1)


def test_quantiles(model_file):
    ages = Ages(model_file, Detector(), CPU)
    assert ages._quantiles(np.full(10, 0.1)) == pytest.approx([0, 4.5, 9])
    assert ages._quantiles(np.array([1.0, 0.0])) == pytest.approx([0, 0, 0.45])


def test_image_without_a_face(model_file):
    answer = Ages(model_file, Detector(), CPU).answer(encoded(scene(80, 60)))
    assert answer == {"width": 60, "height": 80, "faces": []}


def test_orientation_is_applied(model_file):
    answer = Ages(model_file, Detector(), CPU).answer(turned(astronaut()[:, 50:], 6))
    assert (answer["width"], answer["height"]) == (462, 512)
    assert len(answer["faces"]) == 1


def test_settings(model_file):
    """The image is scaled down for detection; boxes are in its own pixels."""
    image = encoded(scaled(astronaut(), 2))
    (face,) = Ages(model_file, Detector(max_side=512, min_face_size=40), CPU).answer(image)["faces"]
    assert face["box"] == pytest.approx([2 * v for v in FACE_BOX], abs=8)
    for strict in (Detector(min_confidence=1.1), Detector(min_face_size=400)):
        assert Ages(model_file, strict, CPU).answer(encoded(astronaut()))["faces"] == []


def test_thresholds_and_factor_reach_the_detector(model_file):
    detector = Detector(thresholds=(0.5, 0.6, 0.8), factor=0.5)
    ages = Ages(model_file, detector, CPU)
    boxes, confidence = ages.detect(Image.fromarray(astronaut()))
    expected = MTCNN(keep_all=True, thresholds=[0.5, 0.6, 0.8], factor=0.5).detect(astronaut())
    assert boxes.tolist() == expected[0].tolist()
    assert confidence.tolist() == expected[1].tolist()


class Context:
    """What TorchServe hands to a handler."""

    def __init__(self, model_file, **naive):
        self.system_properties = {"model_dir": str(model_file.parent), "gpu_id": None}
        self.manifest = {"model": {"serializedFile": model_file.name}}
        self.model_yaml_config = {"naive": {"threads": torch.get_num_threads(), **naive}}


def test_handler(model_file):
    handler = NaiveHandler()
    context = Context(model_file, min_face_size=30, thresholds=[0.6, 0.7, 0.7], max_side=None)
    handler.initialize(context)
    rows = [{"body": bytearray(encoded(astronaut()))}, {"data": encoded(scene(80, 60))}]
    first, second = handler.handle(rows, context)
    assert first["faces"][0]["box"] == pytest.approx(FACE_BOX, abs=4)
    assert second["faces"] == []
    json.dumps(first)


def test_app(model_file, monkeypatch):
    monkeypatch.setenv("NAIVE_MODEL", str(model_file))
    app = importlib.import_module("bench.naive.app")
    answer = app.predict(encoded(astronaut()))
    assert answer["faces"][0]["box"] == pytest.approx(FACE_BOX, abs=2)
    assert [(r.path, r.methods) for r in app.app.routes if r.path == "/predictions/age"] == [
        ("/predictions/age", {"POST"})
    ]
