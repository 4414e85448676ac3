"""Several images in a request: versions 1 and 2 of the open inference protocol, over REST."""

import json
from typing import Any

import numpy as np
import pytest

from handler.options import Options
from handler.settings import Settings
from tests.images import astronaut, encoded, scene
from tests.service.exchange import assert_same, expected, rest
from tests.service.test_rest import JPEG, TWO_FACES, as_json, base64_of
from tests.torchserve import Service

V1, V2 = "/v1/models/age:predict", "/v2/models/age/infer"
ROTATE = Options(rotate="auto")
BAD = b"\xff\xd8\xff\xe0broken"


def tensor(*images: bytes, **more: object) -> dict[str, object]:
    data = [base64_of(image) for image in images]
    return {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": data} | more


def outputs(content: Any) -> list[Any]:
    """The answers in the only tensor of a response."""
    (output,) = content["outputs"]
    assert output.keys() == {"name", "shape", "datatype", "data"}
    assert (output["name"], output["datatype"]) == ("answer", "BYTES")
    assert output["shape"] == [len(output["data"])]
    return [json.loads(each) for each in output["data"]]


def assert_all(answers: list[Any], model_file: Any) -> None:
    """Of the portrait, of a broken file, and of two faces."""
    first, second, third = answers
    assert_same(first, expected(model_file, JPEG))
    assert (second["code"], second["type"]) == (400, "InvalidImage")
    assert_same(third, expected(model_file, TWO_FACES))


@pytest.mark.parametrize("path", [V1, "/predictions/age", "/predictions/age/2.0"])
def test_instances(service: Service, model_file, path):
    instances = [
        {"b64": base64_of(JPEG)},
        {"image_bytes": {"b64": base64_of(BAD)}},
        {"data": base64_of(TWO_FACES)},
    ]
    reply = rest(service, *as_json(instances=instances), path=path)
    assert (reply.status, reply.type) == (200, "application/json")
    answers = reply.content["predictions"]
    assert [answer.get("code") for answer in answers] == [None, 400, None]
    if path != "/predictions/age/2.0":
        assert_all(answers, model_file)
    else:  # another model
        assert [len(answers[i]["faces"]) for i in (0, 2)] == [1, 2]
        assert answers[0]["model"]["version"] == "2.0"


def test_tensors(service: Service, model_file):
    reply = rest(service, *as_json(id="42", inputs=[tensor(JPEG, BAD, TWO_FACES)]), path=V2)
    assert (reply.status, reply.type) == (200, "application/json")
    content = reply.content
    assert content.keys() == {"model_name", "model_version", "id", "outputs"}
    assert (content["model_name"], content["model_version"], content["id"]) == ("age", "1.0", "42")
    assert_all(outputs(content), model_file)


def test_a_tensor_of_a_file_s_bytes(service: Service, model_file):
    inputs = [tensor(shape=[1, len(JPEG)], datatype="UINT8", data=[[*JPEG]])]
    reply = rest(service, *as_json(inputs=inputs), path=V2)
    (answer,) = outputs(reply.content)
    assert_same(answer, expected(model_file, JPEG))


def test_binary_tensors(service: Service, model_file):
    images = b"".join(len(i).to_bytes(4, "little") + i for i in (JPEG, BAD, TWO_FACES))
    size = {"binary_data_size": len(images)}
    head = tensor(shape=[3], parameters=size)
    del head["data"]
    content = {"inputs": [head], "parameters": {"binary_data_output": True}}
    sent = json.dumps(content).encode()
    headers = {"Inference-Header-Content-Length": str(len(sent))}
    for kind in ({}, {"Content-Type": "application/octet-stream"}):
        reply = rest(service, sent + images, headers | kind, path=V2)
        assert (reply.status, reply.type) == (200, "application/octet-stream")
        assert reply.inference_header is not None
        length = int(reply.inference_header)
        (output,) = json.loads(reply.body[:length])["outputs"]
        assert output["parameters"] == {"binary_data_size": len(reply.body) - length}
        answers, at = [], length
        while at < len(reply.body):
            end = at + 4 + int.from_bytes(reply.body[at : at + 4], "little")
            answers.append(json.loads(reply.body[at + 4 : end]))
            at = end
        assert_all(answers, model_file)


def test_options(service: Service):
    reply = rest(
        service,
        *as_json(
            instances=[
                {"b64": base64_of(TWO_FACES)},
                {"b64": base64_of(TWO_FACES), "max_faces": 2},
                {"b64": base64_of(TWO_FACES), "max_face": 2},
            ],
            parameters={"max_faces": 1, "relative": True},
        ),
        path=V1,
    )
    one, two, refused = reply.content["predictions"]
    assert (len(one["faces"]), len(two["faces"])) == (1, 2)
    assert "relative_box" in one["faces"][0]
    assert refused["type"] == "InvalidOption"


def test_an_image_on_its_side(service: Service, model_file):
    """Also of one image alone, beside another that is as it should be."""
    side = encoded(np.rot90(astronaut()))
    turned, upright = (expected(model_file, image, ROTATE) for image in (side, JPEG))
    assert (turned["rotation"], upright["rotation"]) == (90, 0)
    instances = [{"b64": base64_of(side)}, {"b64": base64_of(JPEG)}]
    sent = as_json(instances=instances, parameters={"rotate": "auto"})
    first, second = rest(service, *sent, path=V1).content["predictions"]
    assert_same(first, turned)
    assert_same(second, upright)
    sent = as_json(inputs=[tensor(side, JPEG)], parameters={"rotate": "auto"})
    first, second = outputs(rest(service, *sent, path=V2).content)
    assert_same(first, turned)
    assert_same(second, upright)
    sent = as_json(instances=[instances[0] | {"rotate": "auto"}, instances[1]])
    first, second = rest(service, *sent, path=V1).content["predictions"]
    assert_same(first, turned)
    assert_same(second, expected(model_file, JPEG))


def test_as_many_as_a_request_may_have(service: Service):
    small = encoded(scene(20, 30))
    most = Settings().max_images
    reply = rest(service, *as_json(instances=[base64_of(small)] * most), path=V1)
    assert [(a["width"], a["faces"]) for a in reply.content["predictions"]] == [(30, [])] * most
    for path, content in (
        (V1, {"instances": [base64_of(small)] * (most + 1)}),
        (V2, {"inputs": [tensor(*[small] * (most + 1))]}),
    ):
        reply = rest(service, *as_json(**content), path=path)
        message = f"the request has {most + 1} images; send 1 to {most}"
        assert (reply.status, reply.content["error"]) == (400, message)
        assert (reply.content["code"], reply.content["type"]) == (400, "InvalidRequest")


def test_pixels_are_refused(service: Service):
    """What other models take."""
    inputs = [tensor(shape=[2, 2, 3], datatype="UINT8", data=np.zeros(12, np.uint8).tolist())]
    reply = rest(service, *as_json(inputs=inputs), path=V2)
    assert (reply.status, reply.content["type"]) == (400, "InvalidRequest")
    assert "seems to hold pixels; send the bytes of image files" in reply.content["message"]
