"""Requests as other people's clients send them, and the answers that they should get."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
import torch

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.answer import Answer, Model
from handler.integrity import identity_of
from handler.options import Options
from handler.pipeline import Pipeline
from handler.requests import Request
from handler.responses import encode
from handler.settings import Settings
from tests.torchserve import Service


@dataclass(frozen=True)
class Reply:
    """One response over REST."""

    status: int
    type: str | None
    body: bytes
    inference_header: str | None = None  # bytes of JSON before binary tensors

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def rest(
    service: Service,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    path: str = "/predictions/age",
    method: str = "POST",
    timeout: float = 60,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(service.rest).netloc, timeout=timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(
            response.status,
            response.getheader("content-type"),
            response.read(),
            response.getheader("inference-header-content-length"),
        )
    finally:
        connection.close()


def over_grpc(
    service: Service,
    entries: Mapping[str, bytes],
    version: str = "",
    metadata: Sequence[tuple[str, str]] = (),
    model: str = "age",
) -> Any:
    """The JSON that one gRPC call gives."""
    request = PredictionsRequest(model_name=model, model_version=version, input=entries)
    with grpc.insecure_channel(service.grpc) as channel:
        predict = InferenceAPIsServiceStub(channel).Predictions
        return json.loads(predict(request, timeout=60, metadata=metadata).prediction)


def multipart(parts: Mapping[str, tuple[bytes, str | None]]) -> tuple[bytes, dict[str, str]]:
    """A form's body and its headers; parts are (content, content type; None: a plain field)."""
    lines = []
    for name, (content, kind) in parts.items():
        head = f'--boundary\r\nContent-Disposition: form-data; name="{name}"'
        if kind is not None:
            head += f'; filename="{name}.bin"\r\nContent-Type: {kind}'
        lines.append(f"{head}\r\n\r\n".encode() + content + b"\r\n")
    body = b"".join(lines) + b"--boundary--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=boundary"}


def expected(model: Path, image: bytes, options: Options = Options()) -> Any:  # noqa: B008
    """What version 1.0 should answer, computed in this process."""
    return expected_of("age", (model,), image, options)


def expected_of(
    name: str,
    models: tuple[Path, ...],
    image: bytes,
    options: Options = Options(),  # noqa: B008
) -> Any:
    """What version 1.0 of an archive of these models should answer, computed in this process."""
    (answer,) = _pipeline(models).run([Request(image, options)])
    assert isinstance(answer, Answer)
    return json.loads(encode(answer, Model(name, "1.0", identity_of(models))))


@cache
def _pipeline(models: tuple[Path, ...]) -> Pipeline:
    return Pipeline.load(models, Settings(), torch.device("cpu"))


def assert_same(content: Any, wanted: Any) -> None:
    """Two answers agree as the API promises: 0.05 years and 0.5 pixels, after rounding to 0.1."""
    assert content.keys() == wanted.keys()
    optional = {"faces", "image", "smallest_face", "rotation"}
    assert content.keys() - optional == {"width", "height", "model"}
    for key in ("smallest_face", "rotation"):
        assert content.get(key) == wanted.get(key)
    assert (content["width"], content["height"]) == (wanted["width"], wanted["height"])
    faces, others = content.get("faces", []), wanted.get("faces", [])
    assert len(faces) == len(others)
    for face, other in zip(faces, others, strict=True):
        assert face["box"] == pytest.approx(other["box"], abs=0.5)
        for point, same in zip(face["landmarks"], other["landmarks"], strict=True):
            assert point == pytest.approx(same, abs=0.5)
        assert face["confidence"] == pytest.approx(other["confidence"], abs=1e-3)
        _assert_same_attributes(face, other)
    _assert_same_attributes(content.get("image", {}), wanted.get("image", {}))


def _assert_same_attributes(region: Any, other: Any) -> None:
    assert region.keys() == other.keys()
    for name in region.keys() - {"box", "landmarks", "confidence", "quality"}:
        value, wanted = region[name], other[name]
        if name.endswith(("_probability", "_scores")):
            assert value == pytest.approx(wanted, abs=2e-3)
        elif name.endswith("_distribution"):
            assert value["low"] == wanted["low"]
            assert np.cumsum(value["probabilities"]) == pytest.approx(
                np.cumsum(wanted["probabilities"]), abs=0.05
            )
        elif name == "relative_box":
            assert value == pytest.approx(wanted, abs=1e-3)
        elif isinstance(value, str) or name.endswith("_set"):
            assert value == wanted
        else:
            assert value == pytest.approx(wanted, abs=0.1001)
    if "quality" in region:
        value, wanted = region["quality"], other["quality"]
        assert value.keys() == wanted.keys()
        assert value["sharpness"] == pytest.approx(wanted["sharpness"], rel=0.05)
        assert value["brightness"] == pytest.approx(wanted["brightness"], abs=0.005)
        assert value["roll"] == pytest.approx(wanted["roll"], abs=0.3)
