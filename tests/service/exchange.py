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
import pytest
import torch

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.answer import Answer, Model
from handler.integrity import weights_identity
from handler.pipeline import Pipeline
from handler.requests import Options, Request
from handler.responses import encode
from handler.settings import Settings
from tests.torchserve import Service


@dataclass(frozen=True)
class Reply:
    """One response over REST."""

    status: int
    type: str | None
    body: bytes

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
        return Reply(response.status, response.getheader("content-type"), response.read())
    finally:
        connection.close()


def over_grpc(
    service: Service,
    entries: Mapping[str, bytes],
    version: str = "",
    metadata: Sequence[tuple[str, str]] = (),
) -> Any:
    """The JSON that one gRPC call gives."""
    request = PredictionsRequest(model_name="age", model_version=version, input=entries)
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


def expected(model: Path, photograph: bytes, options: Options = Options()) -> Any:  # noqa: B008
    """What version 1.0 should answer, computed in this process."""
    (answer,) = _pipeline(model).run([Request(photograph, options)])
    assert isinstance(answer, Answer)
    return json.loads(encode(answer, Model("age", "1.0", weights_identity(model))))


@cache
def _pipeline(model: Path) -> Pipeline:
    return Pipeline.load(model, Settings(), torch.device("cpu"))


def assert_same(content: Any, wanted: Any) -> None:
    """Two answers agree as the API promises: 0.05 years and 0.5 pixels, after rounding to 0.1."""
    assert content.keys() == wanted.keys() == {"width", "height", "faces", "model"}
    assert (content["width"], content["height"]) == (wanted["width"], wanted["height"])
    assert len(content["faces"]) == len(wanted["faces"])
    for face, other in zip(content["faces"], wanted["faces"], strict=True):
        assert face.keys() == other.keys()
        assert face["box"] == pytest.approx(other["box"], abs=0.5)
        for point, same in zip(face["landmarks"], other["landmarks"], strict=True):
            assert point == pytest.approx(same, abs=0.5)
        assert face["confidence"] == pytest.approx(other["confidence"], abs=1e-3)
        assert face["age"] == pytest.approx(other["age"], abs=0.1001)
        assert face["age_interval"] == pytest.approx(other["age_interval"], abs=0.1001)
