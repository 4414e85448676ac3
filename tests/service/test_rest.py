"""Every way to send an image over REST, and every option; failures are in test_bad_input."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from face_age_client.errors import Refused
from face_age_client.rest import RestClient
from handler.options import Options
from tests.images import astronaut, encoded, scaled, side_by_side
from tests.service.exchange import assert_same, expected, multipart, rest
from tests.torchserve import Service

JPEG = encoded(astronaut(), "JPEG", quality=90)
TWO_FACES = encoded(side_by_side(astronaut(), scaled(astronaut(), 0.6)), "JPEG", quality=90)


def as_json(**content: object) -> tuple[bytes, dict[str, str]]:
    return json.dumps(content).encode(), {"Content-Type": "application/json"}


def base64_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.fixture(scope="module")
def wanted(model_file):
    return expected(model_file, JPEG)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("kind", [None, "image/jpeg", "application/octet-stream", "text/plain"])
def test_raw_body(service: Service, wanted, method, kind):
    reply = rest(service, JPEG, {} if kind is None else {"Content-Type": kind}, method=method)
    assert (reply.status, reply.type) == (200, "application/json")
    assert_same(reply.content, wanted)
    assert reply.content["model"] == wanted["model"]


@pytest.mark.parametrize("kind", [None, "image/jpeg", "application/octet-stream"])
def test_multipart(service: Service, wanted, kind):
    reply = rest(service, *multipart({"data": (JPEG, kind)}))
    assert reply.status == 200
    assert_same(reply.content, wanted)


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_json(service: Service, wanted, prefix):
    reply = rest(service, *as_json(data=prefix + base64_of(JPEG)))
    assert reply.status == 200
    assert_same(reply.content, wanted)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        pytest.param((JPEG, {"Accept": "image/jpeg"}), "jpeg", id="accepted type"),
        pytest.param((JPEG, {"Accept": "image/jpeg", "X-Annotate": "png"}), "png", id="header"),
        pytest.param(
            multipart({"data": (JPEG, "image/jpeg"), "annotate": (b"png", None)}), "png", id="field"
        ),
        pytest.param(as_json(data=base64_of(JPEG), annotate="jpeg"), "jpeg", id="key"),
    ],
)
def test_a_picture(service: Service, sent, kind):
    reply = rest(service, *sent)
    assert (reply.status, reply.type) == (200, f"image/{kind}")
    picture = Image.open(io.BytesIO(reply.body))
    assert (picture.format, picture.size) == (kind.upper(), (512, 512))
    outline = np.asarray(picture.convert("RGB"))[116, 178]  # beside the face's left edge
    assert outline.astype(int) == pytest.approx([255, 214, 10], abs=40)


def test_a_failure_is_json_where_a_picture_was_accepted(service: Service):
    reply = rest(service, b"%PDF-1.7", {"Accept": "image/png"})
    assert (reply.status, reply.type) == (415, "application/json")
    assert reply.content["type"] == "UnsupportedImageFormat"


def test_all_faces_largest_first(service: Service, model_file):
    content = rest(service, TWO_FACES).content
    assert_same(content, expected(model_file, TWO_FACES))
    large, small = (face["box"] for face in content["faces"])
    assert large[2] - large[0] == pytest.approx(87, abs=5)
    assert small[2] - small[0] == pytest.approx(87 * 0.6, abs=5)


@pytest.mark.parametrize(
    "request_of_one",
    [
        pytest.param((TWO_FACES, {"X-Max-Faces": "1"}), id="header"),
        pytest.param((TWO_FACES, {"x-max-faces": "1"}), id="header in small letters"),
        pytest.param(
            multipart({"data": (TWO_FACES, "image/jpeg"), "max_faces": (b"1", None)}), id="field"
        ),
        pytest.param(as_json(data=base64_of(TWO_FACES), max_faces=1), id="key"),
    ],
)
def test_max_faces(service: Service, model_file, request_of_one):
    reply = rest(service, *request_of_one)
    assert len(reply.content["faces"]) == 1
    assert_same(reply.content, expected(model_file, TWO_FACES, Options(max_faces=1)))


@pytest.mark.parametrize(("least", "count"), [("1", 0), ("0.5", 1)])
def test_min_confidence(service: Service, least, count):
    reply = rest(service, JPEG, {"X-Min-Confidence": least})
    assert len(reply.content["faces"]) == count


def test_body_wins_over_header(service: Service):
    body, headers = as_json(data=base64_of(TWO_FACES), max_faces=2)
    assert len(rest(service, body, headers | {"X-Max-Faces": "1"}).content["faces"]) == 2


def test_explanations(service: Service):
    reply = rest(service, JPEG, path="/explanations/age")
    assert reply.status == 200
    content = reply.content
    (face,) = content["faces"]
    effects = np.array(face.pop("age_explanation")["effects"])
    assert effects.shape == (8, 8)
    assert np.abs(effects).max() > 0.1
    assert_same(content, rest(service, JPEG).content)


def test_explanations_as_a_picture(service: Service):
    reply = rest(service, JPEG, {"Accept": "image/png"}, "/explanations/age")
    assert (reply.status, reply.type) == (200, "image/png")
    plain = rest(service, JPEG, {"Accept": "image/png"})
    assert reply.body != plain.body


def test_explanations_of_a_bad_image(service: Service):
    reply = rest(service, b"%PDF-1.7", path="/explanations/age")
    assert (reply.status, reply.content["type"]) == (415, "UnsupportedImageFormat")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/predictions/mood", "ModelNotFoundException"),
        ("/predictions/age/9.9", "ModelVersionNotFoundException"),
    ],
)
def test_unknown_model(service: Service, path, kind):
    reply = rest(service, JPEG, path=path)
    assert (reply.status, reply.content["type"]) == (404, kind)


def test_more_bytes_than_are_taken(service: Service):
    client = RestClient(service.rest)
    with pytest.raises(Refused) as refused:
        client.predict(b"\xff\xd8" + bytes(21 * 2**20))
    assert (refused.value.type, refused.value.code) == ("HTTP 413", 413)
    assert len(client.predict(JPEG).faces) == 1
    client.close()
