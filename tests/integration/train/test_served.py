"""From images to an answer of the service, by the documented commands."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch

from handler.answer import Answer, OrdinalPrediction
from handler.imaging.decode import decode
from handler.integrity import weights_identity
from handler.pipeline import Pipeline
from handler.requests import Options, Request
from handler.settings import Settings
from server import archive
from tests.torchserve import ROOT, SUPERVISE, private_addresses
from tests.unit.train.conftest import SIZE, face_of_age, save

EPOCHS = 12


@pytest.mark.service
def test_a_model_trained_on_made_data_is_served(
    utkface: Path, appa_real: Path, tmp_path: Path
) -> None:
    """One of the commands is killed and resumed."""
    run, store = tmp_path / "run", tmp_path / "store"
    overrides = [
        *(f"data.sources.utkface={utkface}", f"data.sources.appa_real={appa_real}"),
        *(f"data.prepared={tmp_path / 'prepared'}", f"crop.size={SIZE}", f"run={run}"),
        *("model.backbone=test_resnet", "fit.batch_size=4", f"fit.epochs={EPOCHS}"),
        *("fit.precision=32-true", f"export.output={store}"),
    ]
    done("prepare", overrides)
    kill_after_an_epoch(command("fit", overrides), run / "last.ckpt")
    for module, more in (("fit", ["fit.resume=true"]), ("evaluate", []), ("export", [])):
        done(module, [*overrides, *more])
    assert torch.load(run / "last.ckpt", weights_only=True)["epoch"] == EPOCHS - 1
    archive.make(archive.Recipe((store / "age.pt",)), store / "age.mar")
    image_file = tmp_path / "face.jpg"
    save(face_of_age(20, margin=60), image_file)

    answer = _asked(store, tmp_path / "state", image_file.read_bytes())

    (face,) = answer["faces"]
    (expected,) = _direct(store / "age.pt", image_file.read_bytes()).faces or ()
    age = expected.attributes["age"]
    assert isinstance(age, OrdinalPrediction)
    assert face["age"] == pytest.approx(age.value, abs=0.06)  # one decimal, and rounding
    assert face["age_interval"] == pytest.approx(age.interval, abs=0.06)
    assert face["box"] == pytest.approx(expected.box, abs=0.5)
    weights = weights_identity(store / "age.pt")
    assert answer["model"] == {"name": "age", "version": "1.0", "weights": weights}


def command(module: str, overrides: list[str]) -> list[str]:
    return [sys.executable, "-m", f"train.{module}", *overrides]


def done(module: str, overrides: list[str]) -> None:
    """Run one of the training half's commands to its end."""
    ended = subprocess.run(
        command(module, overrides), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def kill_after_an_epoch(fit: list[str], checkpoint: Path) -> None:
    """Start a training, and end it by SIGKILL as soon as it has written a checkpoint."""
    process = subprocess.Popen(fit, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL


def _asked(store: Path, state: Path, body: bytes) -> dict:  # type: ignore[type-arg]
    """The answer of a TorchServe started for this request."""
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
    """The answer of the pipeline, without a server."""
    pipeline = Pipeline.load([model], Settings(), torch.device("cpu"))
    (answer,) = pipeline.run([Request(body, Options())])
    assert isinstance(answer, Answer)
    height, width = decode(body, 10**6).shape[:2]
    assert (answer.width, answer.height) == (width, height)
    return answer
