"""The open inference protocol through the proxy: images, health and descriptions."""

import json

import pytest

from tests.proxy.proxy import Proxy
from tests.service.exchange import assert_same, expected
from tests.service.test_open_inference import BAD, V1, V2, outputs, tensor
from tests.service.test_rest import JPEG, TWO_FACES, as_json, base64_of

pytestmark = pytest.mark.service


def read(proxy: Proxy, path: str, key: str | None = None) -> tuple[int, object]:
    reply = proxy.ask(path=path, method="GET", key=key)
    assert reply.type == "application/json"
    return reply.status, reply.content


@pytest.mark.parametrize("path", [V1, V1 + "?max_faces=1", V2, "/v2/models/age/versions/1.0/infer"])
def test_images(proxy: Proxy, key, model_file, path):
    images = (JPEG, BAD, TWO_FACES)
    if "predict" in path:
        sent = as_json(instances=[{"b64": base64_of(image)} for image in images])
        answers = proxy.ask(*sent, path, key=key).content["predictions"]
    else:
        answers = outputs(proxy.ask(*as_json(inputs=[tensor(*images)]), path, key=key).content)
    assert_same(answers[0], expected(model_file, JPEG))
    assert answers[1]["type"] == "InvalidImage"
    assert len(answers[2]["faces"]) == (1 if "?" in path else 2)


def test_binary_tensors(proxy: Proxy, key):
    head = tensor(shape=[1, len(JPEG)], datatype="UINT8")
    del head["data"]
    head["parameters"] = {"binary_data_size": len(JPEG)}
    sent = json.dumps({"inputs": [head], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(sent))}
    reply = proxy.ask(sent + JPEG, headers, V2, key=key)
    assert (reply.status, reply.type) == (200, "application/octet-stream")
    assert reply.inference_header is not None
    answer = json.loads(reply.body[int(reply.inference_header) + 4 :])
    assert len(answer["faces"]) == 1


@pytest.mark.parametrize("path", ["/v1/models/mood:predict", "/v2/models/mood/infer"])
def test_an_unknown_model_has_the_key_that_clients_read(proxy: Proxy, key, path):
    """TorchServe's own words, which it leaves out."""
    reply = proxy.ask(*as_json(inputs=[]), path, key=key)
    assert reply.failure == (404, "ModelNotFoundException")
    assert reply.content["error"] == reply.content["message"] == "Model not found: mood"
    plain = proxy.ask(JPEG, path="/predictions/mood", key=key)
    assert plain.failure == (404, "ModelNotFoundException")
    assert plain.content.keys() == {"code", "type", "message"}


@pytest.mark.parametrize("path", [V1, V2])
def test_the_same_keys_and_limits(proxy: Proxy, key, path):
    """And clients of the protocol read `error`."""
    refused = [
        (proxy.ask(b"{}", {}, path), 401, "Unauthorized"),
        (proxy.ask(b"{}", {}, path, "GET", key=key), 405, "MethodNotAllowed"),
        (proxy.ask(bytes(20 * 2**20 + 1), {}, path, key=key), 413, "RequestTooLarge"),
        (proxy.ask(b"{}", {"X-Max-Face": "1"}, path, key=key), 400, "InvalidOption"),
        (proxy.ask(b"{}", {}, path + "?a=b", key=key), 400, "InvalidOption"),
        (proxy.ask(*as_json(instances=[]), path, key=key), 400, "InvalidRequest"),
        (proxy.ask(*as_json(inputs=[]), path, key=key), 400, "InvalidRequest"),
    ]
    for reply, status, kind in refused:
        content = reply.content
        assert (reply.status, content["code"], content["type"]) == (status, status, kind)
        assert content["error"] == content["message"]


def test_more_faces_than_strangers_may_ask_for(proxy: Proxy, key):
    sent = as_json(instances=[base64_of(JPEG)], parameters={"max_faces": 301})
    reply = proxy.ask(*sent, V1, key=key)
    assert reply.content["error"] == "max_faces must be a whole number from 1 to 300, not 301"


def test_health(proxy: Proxy):
    assert read(proxy, "/v2/health/live") == (200, {"live": True})
    assert read(proxy, "/v2/health/ready") == (200, {"ready": True})
    for path in ("/v1/models/age", "/v2/models/age/ready", "/v2/models/age/versions/2.0/ready"):
        assert read(proxy, path) == (200, {"name": "age", "ready": True})


@pytest.mark.parametrize(
    "path", ["/v2/models/mood/ready", "/v1/models/mood", "/v2/models/age/versions/9/ready"]
)
def test_health_of_what_is_not_there(proxy: Proxy, path):
    status, content = read(proxy, path)
    assert (status, content["type"]) == (404, "NotFound")
    assert content["error"] == content["message"]


def test_descriptions(proxy: Proxy, key):
    assert read(proxy, "/v2/models/age")[0] == 401
    status, content = read(proxy, "/v2/models/age", key)
    assert status == 200
    assert content == {
        "name": "age",
        "versions": ["1.0", "2.0"],
        "platform": "pytorch_torchserve",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "answer", "datatype": "BYTES", "shape": [-1]}],
    }
    assert read(proxy, "/v2/models/age/versions/2.0", key)[1]["versions"] == ["2.0"]
    assert read(proxy, "/v2/models/mood", key)[0] == 404
    status, content = read(proxy, "/v2")
    assert (status, content["name"], content["extensions"]) == (
        200,
        "face-age",
        ["binary_tensor_data"],
    )


@pytest.mark.parametrize("path", ["/internal/ping", "/internal/models", "/internal/models/age"])
def test_management_is_not_reached(proxy: Proxy, key, path):
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert proxy.ask(path=path, method=method, key=key).failure == (404, "NotFound")
