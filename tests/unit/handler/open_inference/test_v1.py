"""Version 1: instances and predictions."""

import json

import pytest

from handler.answer import Answer, Model
from handler.errors import Failure, InvalidImage, InvalidOption, InvalidRequest
from handler.open_inference import v1
from handler.open_inference.parts import Limits
from handler.options import Options
from handler.requests import Request
from tests.unit.handler.request_rows import BASE64, PHOTO

LIMITS = Limits({}, ("age",), 4)


@pytest.mark.parametrize(
    "instance",
    [
        BASE64,
        {"b64": BASE64},
        {"data": BASE64},
        {"data": {"b64": BASE64}},
        {"image_bytes": {"b64": BASE64}},
        {"b64": "data:image/jpeg;base64," + BASE64},
    ],
    ids=str,
)
def test_an_instance(instance: object) -> None:
    assert v1.parse({"instances": [instance]}, LIMITS).items == (Request(PHOTO),)


def test_options_of_all_and_of_one() -> None:
    limits = Limits({"x-max-faces": "5", "x-top-k": "2"}, ("age",), 4)
    content = {
        "instances": [{"b64": BASE64}, {"b64": BASE64, "max_faces": 1}],
        "parameters": {"max_faces": "3", "quality": True},
    }
    assert [
        item.options for item in v1.parse(content, limits).items if isinstance(item, Request)
    ] == [
        Options(max_faces=3, top_k=2, quality=True),
        Options(max_faces=1, top_k=2, quality=True),
    ]


@pytest.mark.parametrize(
    ("instance", "kind", "message"),
    [
        ({}, InvalidRequest, "an instance has no image"),
        ({"photo": BASE64}, InvalidRequest, "an instance has no image"),
        ({"b64": BASE64, "data": BASE64}, InvalidRequest, "an instance has images as b64, data"),
        (5, InvalidRequest, "an instance is 5"),
        ({"b64": "@"}, InvalidRequest, 'bad base64 in "b64"'),
        ({"data": {"b64": BASE64, "max_faces": 1}}, InvalidRequest, '"data" is {'),
        ("", InvalidRequest, '"instances" is empty'),
        ({"b64": BASE64, "max_face": 1}, InvalidOption, "there is no option 'max_face'"),
        ({"b64": BASE64, "annotate": "png"}, InvalidOption, "there is no picture"),
    ],
)
def test_a_fault_is_the_instance_s_own(instance: object, kind: type[Failure], message: str) -> None:
    good, bad, last = v1.parse({"instances": [BASE64, instance, BASE64]}, LIMITS).items
    assert (good, last) == (Request(PHOTO), Request(PHOTO))
    assert type(bad) is kind
    assert bad.message.startswith(message)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ({"instances": []}, InvalidRequest, "the request has no image"),
        ({"instances": [BASE64] * 5}, InvalidRequest, "the request has 5 images; send 1 to 4"),
        ({"instances": {}}, InvalidRequest, '"instances" is {}'),
        ({"instances": [BASE64], "id": "1"}, InvalidRequest, "the keys of a request with inst"),
        ({"instances": [BASE64], "parameters": []}, InvalidRequest, '"parameters" of the requ'),
        ({"instances": [BASE64], "parameters": {"a": 1}}, InvalidOption, "there is no option 'a'"),
        (
            {"instances": [BASE64], "parameters": {"max_faces": 0}},
            InvalidOption,
            "max_faces must be",
        ),
    ],
)
def test_a_fault_of_all(content: dict[str, object], kind: type[Failure], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        v1.parse(content, LIMITS)


def test_the_response_has_each_answer_or_failure() -> None:
    response = v1.parse({"instances": [BASE64, BASE64]}, LIMITS).response(
        [Answer(2, 1, ()), InvalidImage("why")], Model("age", "1.0", "abc")
    )
    assert (response.code, response.media_type, response.headers) == (200, "application/json", {})
    assert json.loads(response.body) == {
        "predictions": [
            {
                "width": 2,
                "height": 1,
                "faces": [],
                "model": {"name": "age", "version": "1.0", "weights": "abc"},
            },
            {"code": 400, "type": "InvalidImage", "message": "why"},
        ]
    }
