"""A model made from pictures, all the way to an answer over the wire."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

import archive
from handler.decoding import decode
from handler.pipeline import Answer, Pipeline
from handler.requests import Options, Request
from handler.settings import Settings
from tests.torchserve import ROOT, SUPERVISE, private_addresses
from tests.train.conftest import face_of_age, save
from train.evaluate import evaluate
from train.export import export
from train.fit import fit


@pytest.mark.service
def test_a_model_trained_on_made_data_is_served(
    tiny: Callable[..., DictConfig], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    config = tiny("fit.epochs=2", f"export.output={store}")
    fit(config)
    evaluate(config)
    archive.make(archive.Recipe(export(config)), store / "age.mar")
    photograph = tmp_path / "face.jpg"
    save(face_of_age(20, margin=60), photograph)

    answer = _asked(store, tmp_path / "state", photograph.read_bytes())

    (face,) = answer["faces"]
    expected = _direct(store / "age.pt", photograph.read_bytes()).faces[0]
    assert face["age"] == pytest.approx(expected.age, abs=0.06)  # one decimal, and rounding
    assert face["age_interval"] == pytest.approx(expected.interval, abs=0.06)
    assert face["box"] == pytest.approx(expected.box, abs=0.5)
    assert answer["model"] == {"name": "age", "version": "1.0"}


def _asked(store: Path, state: Path, body: bytes) -> dict:  # type: ignore[type-arg]
    """The answer of a TorchServe that is started for it."""
    addresses = private_addresses()
    command = [*SUPERVISE, "--state", str(state), "--model-store", str(store)]
    subprocess.run([*command, "--background"], cwd=ROOT, env=os.environ | addresses, check=True)
    try:
        url = f"{addresses['TS_INFERENCE_ADDRESS']}/predictions/age"
        request = urllib.request.Request(url, body, {"Content-Type": "image/jpeg"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict = json.load(response)  # type: ignore[type-arg]
            return answer
    finally:
        subprocess.run([*command, "--stop"], cwd=ROOT, check=True)


def _direct(model: Path, body: bytes) -> Answer:
    """The same, without a server."""
    pipeline = Pipeline.load(model, Settings(), torch.device("cpu"))
    (answer,) = pipeline.run([Request(body, Options())])
    assert isinstance(answer, Answer)
    height, width = decode(body, 10**6).shape[:2]
    assert (answer.width, answer.height) == (width, height)
    return answer
