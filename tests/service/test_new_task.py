"""docs/new-task.md, followed from made images to answers over REST."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handler.contract import Contract
from tests.clones import cloned
from tests.images import FACE_BOX, RGBImage, astronaut, encoded
from tests.torchserve import ROOT, private_addresses
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

PAGE = (ROOT / "docs" / "new-task.md").read_text()
COLOUR = (120, 180, 220)  # of the mask
IMAGES = 12  # of each class and split
# The page's commands train a ResNet-18 for minutes; with these they take seconds.
SMALL = (
    "model.backbone=test_resnet crop.size=64 fit.epochs=4 fit.batch_size=8 fit.learning_rate=1e-2"
)
NO_HEADERS: Mapping[str, str] = {}
COMMAND = 'face-age() { .venv/bin/python -m commands.main "$@"; }; set -e\n'


def blocks(language: str, section: str) -> list[str]:
    """The code blocks in a section of the page, by the beginning of its title."""
    (text,) = [part for part in PAGE.split("\n## ") if part.startswith(section)]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def ask(
    address: str, model: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
) -> list[dict[str, Any]]:
    """The faces of an answer, as JSON."""
    request = urllib.request.Request(
        f"{address}/predictions/{model}", body, {"Content-Type": "image/png", **headers}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        faces: list[dict[str, Any]] = json.load(response)["faces"]
    return faces


def face(masked: bool, brightness: float) -> RGBImage:
    image = (astronaut() * brightness).astype(np.uint8)
    x1, y1, x2, y2 = map(int, FACE_BOX)
    if masked:
        image[y1 + (y2 - y1) * 6 // 10 : y2, x1:x2] = COLOUR
    return image


@pytest.fixture
def clone(contract: Contract, tmp_path: Path) -> Iterator[Path]:
    folder = cloned(tmp_path)
    architecture = Architecture("test_resnet", 64)
    weights = Weights(Network(architecture).eval(), architecture, contract)
    save_weights(weights, folder / "model_store" / "age.safetensors")
    for label in ("bare", "masked"):
        for split in ("train", "val", "test"):
            target = folder / "data" / "masks" / split / label
            target.mkdir(parents=True)
            for i in range(IMAGES):
                # every split has other images: a copy would be a caution
                brightness = 0.5 + 0.5 * (3 * i + ("train", "val", "test").index(split)) / 36
                image = face(label == "masked", brightness)
                (target / f"{i}.png").write_bytes(encoded(image))
    yield folder
    subprocess.run(["scripts/serve.sh", "--stop"], cwd=folder, check=False, capture_output=True)


def test_the_page_leads_from_images_to_answers(clone: Path) -> None:
    environ = os.environ | private_addresses() | {"TS_DEFAULT_WORKERS_PER_MODEL": "1"}

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", COMMAND + script],
            cwd=clone,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (task,) = blocks("yaml", "2. ")
    (clone / "train" / "config" / "task" / "mask.yaml").write_text(task)
    (commands,) = blocks("bash", "3. ")
    prepare, fit, evaluate, export, pack = commands.strip().splitlines()
    run(f"{prepare} crop.size=64")
    assert "best validation accuracy" in run(f"{fit} {SMALL} '~logger'")
    figures = run(f"{evaluate} evaluate.bootstrap=20")
    assert "accuracy" in figures
    assert "mask.pt is ready" in run(export)
    assert "model_store/mask.mar" in run(pack)
    card = (clone / "model_store" / "mask" / "README.md").read_text()
    assert "A hand before the mouth may be taken for a mask." in card
    assert "CC BY 4.0" in card

    (several,) = blocks("bash", "Several attributes")
    pack_faces, _, _ = several.strip().splitlines()
    run(".venv/bin/python -m train.torchscript")  # the page's reader has served the ages before
    run(pack_faces)
    serve, _ = blocks("bash", "4. ")[0].strip().splitlines()
    run(".venv/bin/python scripts/archive.py")
    started = run(f"{serve} faces=model_store/faces.mar --background")
    assert "mask 1.0" in started

    address = environ["TS_INFERENCE_ADDRESS"]
    for masked, label in ((False, "bare"), (True, "masked")):
        body = encoded(face(masked, 0.77))
        (found,) = ask(address, "mask", body)
        assert found["mask"] == label
        assert found["mask_scores"][label] == found["mask_probability"] > 0.5
        assert label in found["mask_set"]
        (both,) = ask(address, "faces", body)
        assert (both["mask"], both["box"]) == (label, found["box"])
        assert both["age_interval"][0] <= both["age"] <= both["age_interval"][1]
        (age,) = ask(address, "faces", body, {"X-Attributes": "age"})
        assert age == {name: value for name, value in both.items() if "mask" not in name}
