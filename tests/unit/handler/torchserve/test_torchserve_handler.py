"""The adapter, driven by TorchServe's own loader, service and context."""

import base64
import importlib.util
import json
import logging
import shutil
import sys
import time
import warnings
from pathlib import Path

import pytest

from handler.integrity import IntegrityError, identity_of, weights_identity
from tests.images import encoded, scene
from tests.unit.handler.torchserve.worker import (
    FACE,
    SCENE,
    SOURCE,
    all_responses,
    ask,
    by_grpc,
    configured,
    load,
    request,
)

with warnings.catch_warnings(action="ignore"):
    from ts.service import Service


pytestmark = pytest.mark.usefixtures("torchserve")


class TestHandle:
    def test_one_face(self, service: Service, model_file: Path) -> None:
        ((status, phrase, kind, answer),) = ask(service, request({"body": FACE}))
        assert (status, phrase, kind) == (200, "OK", "application/json")
        assert list(answer) == ["width", "height", "faces", "smallest_face", "model"]
        assert answer["model"] == {
            "name": "age",
            "version": "2.5",
            "weights": weights_identity(model_file),
        }
        (face,) = answer["faces"]
        assert list(face) == ["box", "confidence", "landmarks", "age", "age_interval"]
        assert face["box"] == pytest.approx([181, 62, 268, 172], abs=6)

    def test_a_line_of_the_log_for_each_item(
        self, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "face_age.requests")
        good = request({"body": FACE}, {"X-Request-Id": "mine"})
        call = by_grpc({"data": FACE, "request_id": bytearray(b"theirs"), "max_faces": b"1"})
        assert [status for status, *_ in ask(service, good, request({}), call)] == [200, 400, 200]
        first, second, third = (json.loads(record.getMessage()) for record in caplog.records)
        assert (first["request_id"], first["torchserve_id"]) == ("mine", "an-id")
        assert (first["version"], first["faces"], first["bytes"]) == ("2.5", 1, len(FACE))
        assert (second["request_id"], second["outcome"]) == ("an-id", "InvalidRequest")
        assert (third["request_id"], third["outcome"]) == ("theirs", "answered")
        assert {line["batch"] for line in (first, second, third)} == {3}

    def test_each_item_has_its_own_answer(self, service: Service) -> None:
        responses = ask(
            service,
            request({"body": SCENE}),
            request({}),
            request({"data": SCENE, "max_faces": bytearray(b"0")}),
            request({"data": bytearray(b"%PDF-1.7")}),
            request({"body": FACE}, {"X-Max-Faces": "1", "Content-Type": "image/jpeg"}),
            request({"body": bytearray(b"\xff\xd8\xff")}),
            request({"body": bytearray(encoded(scene(1000, 301), "BMP"))}),
            request({"body": FACE}, {"explain": "True"}),
            request({"body": {"data": base64.b64encode(SCENE).decode()}}),
        )
        assert [(status, phrase, kind) for status, phrase, kind, _ in responses] == [
            (200, "OK", "application/json"),
            (400, "Bad Request", "application/json"),
            (400, "Bad Request", "application/json"),
            (415, "Unsupported Media Type", "application/json"),
            (200, "OK", "application/json"),
            (400, "Bad Request", "application/json"),
            (413, "Request Entity Too Large", "application/json"),
            (200, "OK", "application/json"),
            (200, "OK", "application/json"),
        ]
        bodies = [body for *_, body in responses]
        assert [body.get("type") for body in bodies] == [
            None,
            "InvalidRequest",
            "InvalidOption",
            "UnsupportedImageFormat",
            None,
            "InvalidImage",
            "ImageTooLarge",
            None,
            None,
        ]
        assert all(list(body) == ["code", "type", "message"] for body in bodies if "type" in body)
        assert [body.get("code", 200) for body in bodies] == [r[0] for r in responses]
        assert bodies[0] == bodies[8]
        assert (bodies[0]["width"], bodies[0]["height"], bodies[0]["faces"]) == (60, 40, [])
        assert len(bodies[4]["faces"]) == 1
        assert "age_explanation" in bodies[7]["faces"][0]

    def test_headers_in_any_case(self, service: Service) -> None:
        for name in ("X-Max-Faces", "x-max-faces", "X-MAX-FACES"):
            ((status, *_, body),) = ask(service, request({"body": SCENE}, {name: "many"}))
            assert (status, body["type"]) == (400, "InvalidOption")

    def test_what_has_waited_too_long(self, service: Service) -> None:
        """It alone: by a proxy's header, which no part of a form can stand for."""
        late = {"X-Request-Start": f"t={time.time() - 56:.3f}"}
        soon = {"X-Request-Start": f"t={time.time() - 30:.3f}"}
        responses = ask(
            service,
            request({"body": SCENE}, late),
            request({"body": SCENE}, soon),
            request({"data": SCENE, "X-Request-Start": bytearray(b"t=1")}),
        )
        assert [(status, body.get("type")) for status, *_, body in responses] == [
            (503, "WaitedTooLong"),
            (200, None),
            (400, "InvalidOption"),
        ]
        assert responses[0][1] == "Service Unavailable"

    def test_a_wait_of_any_time(self, archive: Path, tmp_path: Path) -> None:
        service = load(configured(archive, tmp_path, "handler: {queue_timeout: 0}"))
        ((status, *_),) = ask(service, request({"body": SCENE}, {"X-Request-Start": "t=1"}))
        assert status == 200

    def test_explanations_that_are_turned_off(self, archive: Path, tmp_path: Path) -> None:
        service = load(configured(archive, tmp_path, "handler: {explained_faces: 0}"))
        explain, plain = ask(
            service, request({"body": FACE}, {"explain": "True"}), request({"body": SCENE})
        )
        assert explain == (
            501,
            "Not Implemented",
            "application/json",
            {
                "code": 501,
                "type": "NotImplemented",
                "message": "explanations are turned off by handler.explained_faces; "
                "ask /predictions",
            },
        )
        assert plain[0] == 200

    def test_a_stream_ends_where_it_came_by_grpc(self, service: Service) -> None:
        """TorchServe's StreamPredictions ends the worker that does not say so."""
        json_body = {"body": bytearray(b'{"data": "' + base64.b64encode(SCENE) + b'"}')}
        responses = all_responses(
            service,
            [
                by_grpc({"data": SCENE}),
                request({"data": SCENE}),
                by_grpc({}),
                by_grpc({"data": bytearray(b"%PDF-1.7")}),
                request(json_body, {"Content-Type": "application/json"}),
                by_grpc({"data": SCENE, "ts_stream_next": bytearray(b"true")}),
                request({"body": SCENE}, {"ts_stream_next": "true"}),
            ],
        )
        assert [r[0] for r in responses] == [200, 200, 400, 415, 200, 400, 200]
        assert [r[3].get("ts_stream_next") for r in responses] == [
            "false", None, "false", "false", None, "false", None,
        ]  # fmt: skip

    def test_open_inference_over_grpc(self, service: Service) -> None:
        """TorchServe ends the worker whose answer to ModelInfer is of another shape."""
        asked = by_grpc({"body": bytearray(b'{"id": "1", "inputs": []}')})
        asked["parameters"][0]["contentType"] = "application/json"
        ((status, _, _, headers, body), (*_, plain)) = all_responses(
            service, [asked, by_grpc({"body": SCENE})]
        )
        assert (status, headers["ts_stream_next"]) == (400, "false")
        (output,) = body.pop("outputs")
        assert body == {"id": "", "model_name": "age", "model_version": "2.5"}
        failure = output.pop("data")[0]
        assert json.loads(failure) == {
            "code": 400,
            "type": "InvalidRequest",
            "message": "ModelInfer takes no images here; call Predictions",
        }
        assert output == {"name": "answer", "datatype": "BYTES", "shape": [1]}
        assert plain["faces"] == []

    def test_parts_of_one_name(self, service: Service) -> None:
        """TorchServe would give the last of them alone."""
        twice = request({"data": SCENE})
        for name, value in (("data", FACE), ("max_faces", bytearray(b"1"))):
            twice["parameters"].append({"name": name, "contentType": "", "value": value})
        options = request({"data": SCENE, "max_faces": bytearray(b"1")})
        options["parameters"].append(options["parameters"][1])
        responses = ask(service, twice, request({"data": SCENE}), options)
        assert [(status, body.get("type")) for status, *_, body in responses] == [
            (400, "InvalidRequest"),
            (200, None),
            (400, "InvalidRequest"),
        ]
        assert responses[0][-1]["message"].startswith("the form has more than one part 'data'; ")
        assert responses[2][-1]["message"].startswith("the form has more than one part 'max_f")

    def test_a_description(self, service: Service) -> None:
        """TorchServe's management asks for one; a header of a client's asks for nothing."""
        asked = request({}) | {"headers": [{"name": b"describe", "value": b"True"}]}
        ((status, *_, body),) = ask(service, asked)
        assert (status, body["type"]) == (501, "NotImplemented")
        assert body["message"] == "the model has no customized description; ask without customized"
        ((status, *_),) = ask(service, request({"body": SCENE}, {"describe": "True"}))
        assert status == 200

    def test_a_part_is_not_taken_for_a_header(self, service: Service) -> None:
        """TorchServe keeps the headers of a part under the part's name, among the request's."""
        ((_, *_, body),) = ask(service, request({"data": SCENE, "X-Max-Faces": bytearray(b"1")}))
        assert body["message"].startswith("there is no option 'X-Max-Faces'; known are data,")
        ((status, *_, body),) = ask(service, request({"data": SCENE, "explain": bytearray(b"1")}))
        assert (status, body["type"]) == (400, "InvalidOption")

    def test_nothing(self, service: Service) -> None:
        assert service._entry_point(None, service.context) == []
        assert ask(service) == []


@pytest.fixture(scope="module")
def of_several(several: Path, torchserve: None) -> Service:
    return load(several)


class TestSeveralModels:
    def test_each_item_chooses_its_own(self, of_several: Service) -> None:
        picture = base64.b64encode(FACE).decode()
        responses = ask(
            of_several,
            request({"body": FACE}),
            request({"body": FACE}, {"X-Attributes": "tint", "X-Top-K": "1"}),
            by_grpc({"data": FACE, "attributes": bytearray(b"age"), "quality": bytearray(b"true")}),
            request({"body": {"data": picture, "attributes": ["colour"]}}),
            request({"data": FACE, "attributes": bytearray(b"emotion")}),
            by_grpc({"data": FACE, "distribution": bytearray(b"yes")}),
        )
        assert [status for status, *_ in responses] == [200, 200, 200, 200, 400, 400]
        whole, tint, age, colour, *refused = [body for *_, body in responses]
        assert list(whole) == ["width", "height", "faces", "smallest_face", "image", "model"]
        place = ["box", "confidence", "landmarks"]
        ages = ["age", "age_interval"]
        tints = ["tint", "tint_probability", "tint_scores", "tint_set"]
        assert list(whole["faces"][0]) == [*place, *ages, *tints]
        assert list(tint["faces"][0]) == [*place, *tints]
        assert len(tint["faces"][0]["tint_scores"]) == 1
        assert list(age["faces"][0]) == [*place, *ages, "quality"]
        assert list(colour) == ["width", "height", "image", "model"]
        assert colour["image"] == whole["image"]
        assert [body["type"] for body in refused] == ["InvalidOption"] * 2
        assert refused[0]["message"] == (
            "attributes must be one or more of age, colour, tint, with commas between them, not "
            "'emotion'"
        )
        assert refused[1]["message"] == "distribution must be true or false, not 'yes'"

    def test_weights_are_those_of_all(
        self, of_several: Service, model_file: Path, tint_file: Path, colour_file: Path
    ) -> None:
        ((*_, body),) = ask(of_several, request({"body": SCENE}))
        assert body["model"]["weights"] == identity_of([model_file, tint_file, colour_file])

    def test_a_model_that_was_exchanged(self, several: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(several, tmp_path / "copy")
        (copy / "tint.pt").write_bytes(b"another")
        with pytest.raises(IntegrityError, match=r"^'tint\.pt' is not the file that was packed$"):
            load(copy)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ImportError it would be hidden by TorchServe, which then looks for its own handler."""
    monkeypatch.setitem(sys.modules, "handler.pipeline", None)
    spec = importlib.util.spec_from_file_location("torchserve_handler", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(RuntimeError, match=r"handler\.pipeline.*needs torch") as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert isinstance(caught.value.__cause__, ImportError)
