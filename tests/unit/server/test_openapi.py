"""The description of the API agrees with the code that answers, and with the client's types."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from face_age_client.answer import parse
from face_age_client.errors import Malformed, Refused
from handler.answer import Answer, CategoryPrediction, Face, Model, OrdinalPrediction, Quality
from handler.errors import Failure, InvalidImage
from handler.open_inference.v1 import V1
from handler.open_inference.v2 import V2
from handler.options import HEADERS, NAMES, Options, schemas
from handler.responses import encode
from server.openapi import document
from server.openapi.failures import OF_PROXY
from server.openapi.requests import MEANINGS
from tests.torchserve import ROOT

DOCUMENT: Any = document()
MODEL = Model("age", "1.0", "3f9a0c1b2d4e")
AGE = OrdinalPrediction(38.249, (30.94, 46.04), 0, (0.5, 0.25, 0.25))
TINT = CategoryPrediction("red", 0.61236, {"red": 0.61236, "blue": 0.30004}, ("red", "blue"))
FACE = Face(
    box=(180.84, 61.37, 268.449, 172.25001),
    confidence=0.9999949,
    landmarks=((205.04, 101.66), (246.77, 103.71), (224.7, 129.0), (201.7, 139.2), (245.3, 141.8)),
    attributes={"age": AGE, "tint": TINT},
    relative_box=(0.35, 0.15, 0.52, 0.43),
    quality=Quality(sharpness=123.456, brightness=0.45678, roll=-3.14159),
)
FULL: Any = json.loads(encode(Answer(512, 400, (FACE,), {"tint": TINT}, 40.0, rotation=90), MODEL))


def errors(content: object, schema: str) -> list[str]:
    """What a schema of the document has against `content`."""
    root = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(root).iter_errors(content)]


def test_is_valid() -> None:
    validate(DOCUMENT)


def test_the_written_one_is_current() -> None:
    written = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert written == json.loads(json.dumps(DOCUMENT))


def test_options_are_the_handler_s() -> None:
    assert tuple(MEANINGS) == NAMES
    parameters = DOCUMENT["components"]["parameters"]
    headers = [name.lower() for name, each in parameters.items() if each["in"] == "header"]
    assert headers == list(HEADERS)
    assert [name for name, each in parameters.items() if each["in"] == "query"] == list(NAMES)
    for name, schema in schemas().items():
        if "default" in schema:
            assert schema["default"] == getattr(Options, name)
            Draft202012Validator(schema).validate(schema["default"])


def test_every_failure_is_there() -> None:
    responses = DOCUMENT["components"]["responses"]
    for kind in Failure.__subclasses__():
        assert kind.type in responses[f"Image{kind.code}"]["description"]
        assert errors({"code": kind.code, "type": kind.type, "message": "why"}, "Failure") == []
    for operations in DOCUMENT["paths"].values():
        for method in operations.keys() & {"post", "put"}:
            assert {str(k.code) for k in Failure.__subclasses__()} <= operations[method][
                "responses"
            ].keys()


def test_the_proxy_s_failures_are_nginx_s() -> None:
    nginx = (ROOT / "deploy/nginx/nginx.conf").read_text()
    (types,) = re.findall(r"map \$failure \$failure_type \{(.*?)\}", nginx, re.DOTALL)
    of_nginx = dict(re.findall(r"(\w+) (\w+);", types))
    of_nginx["500"] = of_nginx.pop("default")
    assert {str(code): names[0] for code, names in OF_PROXY.items()} == of_nginx


@pytest.mark.parametrize(
    "answer",
    [
        Answer(512, 400, (FACE,), {"tint": TINT}, 40.0),
        Answer(1, 2, ()),
        Answer(2, 1, None, {"tint": TINT}),
        InvalidImage("why"),
    ],
)
def test_encoded_answers_agree(answer: Answer | Failure) -> None:
    schema = "Failure" if isinstance(answer, Failure) else "Answer"
    assert errors(json.loads(encode(answer, MODEL)), schema) == []
    outcomes = [answer, InvalidImage("why")]
    predictions = V1(()).response(outcomes, MODEL)
    assert errors(json.loads(predictions.body), "Predictions") == []
    inferred = V2((), "42", False).response(outcomes, MODEL)
    assert errors(json.loads(inferred.body), "InferenceResponse") == []


@pytest.mark.parametrize(
    ("change", "schema"),
    [
        ({"more": 1}, "Answer"),
        ({"width": 0}, "Answer"),
        ({"faces": [{"box": [1, 2, 3, 4]}]}, "Answer"),
        ({"code": 400, "type": "Nonsense", "message": ""}, "Failure"),
    ],
)
def test_what_is_no_answer(change: dict[str, object], schema: str) -> None:
    assert errors(change if schema == "Failure" else FULL | change, schema)


class TestClient:
    """face_age_client.answer reads what the schema describes, and needs what it requires."""

    def test_reads_every_key(self) -> None:
        answer = parse(json.dumps(FULL).encode())
        (face,) = answer.faces
        (sent,) = FULL["faces"]
        assert [*face.box] == sent["box"]
        assert face.confidence == sent["confidence"]
        assert [[*point] for point in face.landmarks] == sent["landmarks"]
        assert [*(face.relative_box or ())] == sent["relative_box"]
        assert face.quality is not None
        assert vars(face.quality) == sent["quality"]
        assert [*face.predictions] == ["age", "tint"]
        assert answer.image is not None
        assert answer.smallest_face == FULL["smallest_face"]
        assert answer.rotation == FULL["rotation"] == 90
        assert (answer.width, answer.height) == (FULL["width"], FULL["height"])
        model = {"name": answer.model_name, "version": answer.model_version}
        assert model | {"weights": answer.model_weights} == FULL["model"]
        known = {*DOCUMENT["components"]["schemas"]["Answer"]["properties"]}
        assert known == FULL.keys()

    @pytest.mark.parametrize("key", ["width", "height", "model"])
    def test_needs_what_is_required(self, key: str) -> None:
        assert key in DOCUMENT["components"]["schemas"]["Answer"]["required"]
        with pytest.raises(Malformed):
            parse(json.dumps({k: v for k, v in FULL.items() if k != key}).encode())

    @pytest.mark.parametrize("key", ["box", "confidence", "landmarks", "relative_box", "quality"])
    def test_needs_of_a_face_what_is_required(self, key: str) -> None:
        content = deepcopy(FULL)
        del content["faces"][0][key]
        is_required = key in DOCUMENT["components"]["schemas"]["Face"]["required"]
        assert bool(errors(content, "Answer")) is is_required
        if is_required:
            with pytest.raises(Malformed):
                parse(json.dumps(content).encode())
        else:
            assert len(parse(json.dumps(content).encode()).faces) == 1

    def test_knows_a_failure(self) -> None:
        failure = {"code": 400, "type": "InvalidImage", "message": "why", "error": "why"}
        assert errors(failure, "Failure") == []
        with pytest.raises(Refused) as caught:
            parse(json.dumps(failure).encode())
        assert (caught.value.code, caught.value.type) == (400, "InvalidImage")
