"""Other people's clients of the open inference protocol."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from handler.options import Options
from tests.service.exchange import assert_same, expected
from tests.service.test_open_inference import BAD
from tests.service.test_rest import JPEG, TWO_FACES
from tests.torchserve import ROOT, Service


@pytest.fixture
def ask(service: Service, tmp_path: Path) -> Any:
    """What a client prints; skips where its environment is not there."""
    if not (environment := os.environ.get("CLIENTS_ENVIRONMENT")):
        assert "CLIENTS_ARE_TESTED" not in os.environ
        pytest.skip("no CLIENTS_ENVIRONMENT with other people's clients: see CONTRIBUTING.md")
    python = Path(environment) / "bin" / "python"
    for i, image in enumerate((JPEG, BAD, TWO_FACES)):
        (tmp_path / f"{i}.jpg").write_bytes(image)

    def asked(kind: str, package: str) -> Any:
        found = subprocess.run(
            [python, "-c", f"import {package}"], capture_output=True, check=False
        )
        if found.returncode:
            pytest.skip(f"no {package} in {environment}")
        done = subprocess.run(
            [
                *(python, "-m", "tests.service.clients", kind, service.rest, "age"),
                *sorted(tmp_path.glob("*.jpg")),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return asked


def assert_answers(answers: Any, model_file: Path, options: Options) -> None:
    first, second, third = answers
    assert_same(first, expected(model_file, JPEG, options))
    assert second["type"] == "InvalidImage"
    assert_same(third, expected(model_file, TWO_FACES, options))


@pytest.mark.parametrize("kind", ["triton", "triton-json"])
def test_tritonclient(ask: Any, model_file: Path, kind: str):
    content = ask(kind, "tritonclient")
    assert (content["id"], content["model"]) == ("42", "age")
    assert content["refused"].startswith("there is no option 'max_face'")
    assert_answers(content["answers"], model_file, Options(max_faces=1))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_kserve(ask: Any, model_file: Path, version: str):
    content = ask(f"kserve-{version}", "kserve")
    if version == "v2":
        assert (content["id"], content["model"]) == ("42", "age")
    assert_answers(content["answers"], model_file, Options())
