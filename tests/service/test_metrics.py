"""What Prometheus gets of a real TorchServe."""

import re
import time
import urllib.request

import pytest

from tests.images import astronaut, encoded, scene
from tests.service.exchange import over_grpc, rest
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import Service

pytestmark = pytest.mark.service
STAGES = {"decode", "detect", "crop", "estimate", "respond"}


def metrics(service: Service) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The values of our metrics of the model age 1.0, by name and other labels."""
    with urllib.request.urlopen(f"{service.metrics}/metrics") as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in re.findall(r"^(face_age_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        del pairs["Hostname"]
        if (pairs.pop("model"), pairs.pop("version")) == ("age", "1.0"):
            found[name, frozenset(pairs.items())] = float(value)
    return found


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_are_counted(service: Service) -> None:
    before = metrics(service)
    bodies = [JPEG, JPEG, TWO_FACES, encoded(scene(90, 160)), b"%PDF-1.7"]
    for body in bodies:
        rest(service, body)
    over_grpc(service, {"data": encoded(astronaut())})
    deadline = time.monotonic() + 30
    images = of("face_age_images_total", outcome="answered")
    while (after := metrics(service)).get(images, 0) < before.get(images, 0) + 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    added = {key: value - before.get(key, 0) for key, value in after.items()}

    assert added[images] == 5
    assert added[of("face_age_images_total", outcome="UnsupportedImageFormat")] == 1
    by_faces = {n: added[of("face_age_images_by_faces_total", faces=n)] for n in ("0", "1", "2")}
    assert by_faces == {"0": 1, "1": 3, "2": 1}
    predictions = [
        value
        for (name, labels), value in added.items()
        if name == "face_age_predictions_total" and ("task", "age") in labels
    ]
    assert sum(predictions) == 5  # faces
    assert added[of("face_age_interval_width_total", task="age")] > 0
    for stage in STAGES:
        count = added[of("face_age_stage_seconds_count", stage=stage)]
        assert 0 < count <= len(bodies) + 1
    assert added[of("face_age_batch_seconds_count")] == sum(
        value for (name, _), value in added.items() if name == "face_age_batches_total"
    )


def test_the_stages_are_within_the_batch(service: Service) -> None:
    rest(service, JPEG)
    found = metrics(service)
    stages = sum(found[of("face_age_stage_seconds_sum", stage=stage)] for stage in STAGES)
    assert 0 < stages <= found[of("face_age_batch_seconds_sum")]


def test_the_model_is_named(service: Service) -> None:
    content = rest(service, JPEG).content["model"]
    assert content["version"] == "1.0"
    assert metrics(service)[of("face_age_model_info", weights=content["weights"])] == 1


def test_a_value_is_no_line_of_the_log(service: Service) -> None:
    rest(service, JPEG)
    assert "face_age_images_total" not in (service.logs / "ts_log.log").read_text()
