"""The line of JSON that each request leaves in a real TorchServe's request_log.log."""

import http.client
import json
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.service.exchange import over_grpc, rest
from tests.service.test_rest import JPEG
from tests.torchserve import Service, await_logged

pytestmark = pytest.mark.service
STAGES = {"decode", "detect", "crop", "estimate", "respond"}


def new_id() -> str:
    return f"test-{secrets.token_hex(8)}"


def line_of(service: Service, request_id: str) -> dict[str, Any]:
    text = await_logged(service.logs / "request_log.log", request_id)
    (line,) = [line for line in text.splitlines() if request_id in line]
    content = json.loads(line)
    assert isinstance(content, dict)
    return content


def id_in_the_answer(service: Service, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection(urlsplit(service.rest).netloc, timeout=60)
    try:
        connection.request("POST", "/predictions/age", JPEG, headers)
        response = connection.getresponse()
        response.read()
        return response.getheader("x-request-id") or ""
    finally:
        connection.close()


def test_an_answer(service: Service) -> None:
    request_id, before = new_id(), time.time()
    own = id_in_the_answer(service, {"X-Request-Id": request_id})
    line = line_of(service, request_id)
    assert (line["request_id"], line["torchserve_id"]) == (request_id, own)
    assert (line["model"], line["version"], line["status"]) == ("age", "1.0", 200)
    assert (line["outcome"], line["faces"], line["bytes"]) == ("answered", 1, len(JPEG))
    assert line["stages"].keys() == STAGES
    assert 0 < sum(line["stages"].values()) <= line["seconds"] + 0.001
    assert line["seconds"] < time.time() - before + 0.001


def test_without_an_id_it_is_that_of_the_answer(service: Service) -> None:
    own = id_in_the_answer(service, {})
    line = line_of(service, own)
    assert line["request_id"] == own
    assert "torchserve_id" not in line


def test_a_failure(service: Service) -> None:
    request_id = new_id()
    rest(service, b"%PDF-1.7 secret", {"X-Request-Id": request_id})
    line = line_of(service, request_id)
    assert (line["status"], line["outcome"]) == (415, "UnsupportedImageFormat")
    assert "faces" not in line


def test_over_grpc(service: Service) -> None:
    request_id = new_id()
    trace = secrets.token_hex(16)
    entries = {
        "data": JPEG,
        "request_id": request_id.encode(),
        "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01".encode(),
        "max_faces": b"1",
    }
    assert len(over_grpc(service, entries)["faces"]) == 1
    line = line_of(service, request_id)
    assert (line["status"], line["trace_id"]) == (200, trace)


def test_a_form_takes_no_such_part(service: Service) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n"
        + JPEG
        + b'\r\n--b\r\nContent-Disposition: form-data; name="request_id"\r\n\r\nx\r\n--b--\r\n'
    )
    reply = rest(service, body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert (reply.status, reply.content["type"]) == (400, "InvalidOption")


def test_the_lines_are_in_this_log_alone(service: Service) -> None:
    request_id = new_id()
    rest(service, JPEG, {"X-Request-Id": request_id})
    line_of(service, request_id)
    for name in ("ts_log.log", "model_log.log", "access_log.log"):
        assert request_id not in (service.logs / name).read_text()
    for line in (service.logs / "request_log.log").read_text().splitlines():
        json.loads(line)
