"""The service answers as its description says: examples, every form, what schemathesis sends."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.openapi import document
from tests.service.exchange import multipart, over_grpc, rest
from tests.service.test_open_inference import BAD, tensor
from tests.service.test_rest import JPEG, TWO_FACES, as_json, base64_of
from tests.torchserve import Service
from tests.unit.server.test_openapi import errors

DOCUMENT: Any = document()
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,"
CHECKS += "response_schema_conformance"
# What TorchServe answers itself; the others are the proxy's.
OWN = r"^/(predictions|explanations)/|:predict$|^/v2/models/\{model\}/infer$"
EVERY = dict.fromkeys(("X-Distribution", "X-Quality", "X-Relative"), "true")


@pytest.fixture
def schemathesis() -> str:
    """The command, of an environment of its own; skips where .ci/run has made none."""
    if not (environment := os.environ.get("CLIENTS_ENVIRONMENT")):
        assert "CLIENTS_ARE_TESTED" not in os.environ
        pytest.skip("no CLIENTS_ENVIRONMENT with other people's clients: see CONTRIBUTING.md")
    return str(Path(environment) / "bin" / "schemathesis")


def run(command: str, schema: Path, url: str, paths: str) -> None:
    """Some examples of each operation, with fixed random numbers."""
    done = subprocess.run(
        [
            *(command, "run", str(schema), "--url", url, "--checks", CHECKS, "--no-color"),
            *("--phases", "examples,fuzzing", "--max-examples", "12", "--seed", "1"),
            *("--mode", "all", "--generation-database", "none", "--include-path-regex", paths),
        ],
        cwd=schema.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


def written(folder: Path) -> Path:
    """The document with the names of a model that is there: others are 404 all."""
    content = json.loads(json.dumps(DOCUMENT))
    for operations in content["paths"].values():
        for parameter in operations.get("parameters", ()):
            parameter["schema"] = {"enum": [parameter["example"]]}
    path = folder / "openapi.json"
    path.write_text(json.dumps(content))
    return path


def test_schemathesis(service: Service, schemathesis: str, tmp_path: Path):
    schema = written(tmp_path)
    run(schemathesis, schema, service.rest, OWN)


def test_examples_are_answered(service: Service):
    seen = 0
    for path, operations in DOCUMENT["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        for example in content.get("application/json", {}).get("examples", {}).values():
            if "{version}/infer" in path:
                continue  # the proxy's
            asked = path.format(model="age", version="1.0")
            reply = rest(service, *as_json(**example["value"]), path=asked)
            assert reply.status == 200
            seen += 1
            kind = {"predictions": "Predictions", "outputs": "InferenceResponse"}
            name = next((kind[key] for key in kind if key in reply.content), "Answer")
            assert errors(reply.content, name) == []
    assert seen == 10


def test_answers_agree(service: Service):
    bodies = [
        (JPEG, EVERY),
        (TWO_FACES, {}),
        multipart({"data": (JPEG, "image/jpeg"), "quality": (b"true", None)}),
        as_json(data=base64_of(JPEG), distribution=True),
    ]
    for body, headers in bodies:
        assert errors(rest(service, body, headers).content, "Answer") == []
    for model in ("faces", "colour"):
        content = rest(service, JPEG, EVERY, f"/predictions/{model}").content
        assert errors(content, "Answer") == []
    content = rest(service, JPEG, path="/explanations/age").content
    assert "age_explanation" in content["faces"][0]
    assert errors(content, "Answer") == []
    assert errors(over_grpc(service, {"data": JPEG}), "Answer") == []
    images = as_json(instances=[base64_of(JPEG), base64_of(BAD)])
    assert errors(rest(service, *images).content, "Predictions") == []
    tensors = as_json(inputs=[tensor(JPEG, BAD)])
    assert errors(rest(service, *tensors).content, "InferenceResponse") == []


def test_failures_agree(service: Service):
    sent: list[tuple[bytes, dict[str, str]]] = [
        (b"%PDF", {}),
        (BAD, {}),
        (JPEG, {"X-Max-Faces": "0"}),
        (b"", {}),
        as_json(inputs=[]),
    ]
    for body, headers in sent:
        reply = rest(service, body, headers)
        assert errors(reply.content, "Failure") == []
        assert reply.status == reply.content["code"]
    for path in ("/predictions/mood", "/predictions/age/9", "/explanations/mood"):
        reply = rest(service, JPEG, path=path)
        assert errors(reply.content, "Failure") == []
