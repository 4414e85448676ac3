"""The adapter, driven by TorchServe's own loader, service and context."""

import base64
import importlib.util
import json
import logging
import math
import shutil
import struct
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import handler.torchserve_handler
from handler.contract import Contract, ContractError
from handler.hardware import fast_in_bfloat16
from handler.integrity import HASHES, IntegrityError, listing, weights_identity
from handler.pipeline import Pipeline
from handler.settings import SettingsError
from handler.torchserve_handler import TorchServeHandler
from tests.archives import exported
from tests.pictures import astronaut, encoded, scene

with warnings.catch_warnings(action="ignore"):
    from ts.model_loader import TsModelLoader
    from ts.service import Service

SOURCE = Path(handler.torchserve_handler.__file__)
YAML = "batchSize: 4\nhandler:\n  max_pixels: 300000\n  min_face_size: 30\n"


@pytest.fixture(scope="module")
def archive(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked age.mar, without the package `handler` beside it."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "MAR-INF").mkdir()
    model = {
        "modelName": "age",
        "modelVersion": "2.5",
        "serializedFile": "age.pt",
        "handler": "torchserve_handler.py",
        "configFile": "model-config.yaml",
    }
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"model": model}))
    (folder / "model-config.yaml").write_text(YAML)
    shutil.copy(model_file, folder / "age.pt")
    shutil.copy(SOURCE, folder)
    listed(folder)
    return folder


class Broken(torch.nn.Module):
    """A model whose weights are not finite."""

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        age = faces.float().mean(dim=(1, 2, 3)) * float("nan")
        return age, age


def listed(archive: Path) -> None:
    """Write the list of hashes of what is there."""
    names = ("age.pt", SOURCE.name, "model-config.yaml")
    (archive / HASHES).write_text(listing({name: archive / name for name in names}))


def configured(archive: Path, folder: Path, config: str) -> Path:
    """A copy of the archive with another model-config.yaml."""
    copy = shutil.copytree(archive, folder / "copy")
    (copy / "model-config.yaml").write_text(config)
    listed(copy)
    return copy


@pytest.fixture(scope="module", autouse=True)
def torchserve() -> Iterator[None]:
    """What a worker changes of TorchServe is TorchServe's again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_DECODE_INPUT_REQUEST", "true")
        own = staticmethod(Service.retrieve_data_for_inference)
        patch.setattr(Service, "retrieve_data_for_inference", own)
        yield


def load(archive: Path, module: ModuleType | None = handler.torchserve_handler) -> Service:
    """What TorchServe's worker does with an archive; `module` None: its file at the root, too."""
    with pytest.MonkeyPatch.context() as patch:
        if module:  # whose lines are counted by the coverage
            patch.setitem(sys.modules, "age_handler", module)
        else:
            patch.syspath_prepend(archive)
        service = TsModelLoader().load(
            "age", str(archive), "age_handler.py", batch_size=4, metrics_cache=Mock()
        )
    if not module:
        del sys.modules["age_handler"]
    service.set_cl_socket(None)
    return service


def worker(archive: Path, gpu: int | None) -> Service:
    """A worker's context, before it is initialised; `gpu`: the one that is the worker's."""
    manifest = json.loads((archive / "MAR-INF" / "MANIFEST.json").read_text())
    return Service("age", str(archive), manifest, None, gpu, 1)


class Loaded(Exception):
    """Enough of an initialisation."""


@pytest.fixture(scope="module")
def service(archive: Path) -> Service:
    return load(archive)


def by_grpc(parts: dict[str, Any]) -> dict[str, Any]:
    """A request without headers."""
    return request(parts) | {"headers": []}


def request(
    parts: dict[str, Any], headers: dict[str, str] | None = None, kind: str = ""
) -> dict[str, Any]:
    """One request of the protocol between TorchServe's frontend and its worker."""
    return {
        "requestId": b"an-id",
        "headers": [
            {"name": name.encode(), "value": value.encode()}
            for name, value in ({"explain": "False"} | (headers or {})).items()
        ],
        "parameters": [
            {"name": name, "contentType": kind, "value": value} for name, value in parts.items()
        ],
    }


def ask(service: Service, *requests: dict[str, Any]) -> list[tuple[int, str, str, Any]]:
    """Status, phrase, content type and JSON of each response."""
    return [
        (status, phrase, kind, body) for status, phrase, kind, _, body in told(service, requests)
    ]


def told(
    service: Service, requests: Iterable[dict[str, Any]]
) -> list[tuple[int, str, str, dict[str, str], Any]]:
    """As `ask`, with each response's headers, read from the worker's bytes."""
    message = bytes(service.predict(list(requests)))
    at = 0

    def number() -> int:
        nonlocal at
        at += 4
        return int(struct.unpack_from("!i", message, at - 4)[0])

    def text() -> bytes:
        nonlocal at
        length = number()
        at += length
        return message[at - length : at]

    assert number() == 200
    assert text() == b"Prediction success"
    responses = []
    while (length := number()) != -1:
        assert message[at : at + length] == b"an-id"
        at += length
        kind = text().decode()
        status, phrase = number(), text().decode()
        headers = {text().decode(): text().decode() for _ in range(number())}
        responses.append((status, phrase, kind, headers, json.loads(text())))
    return responses


FACE = bytearray(encoded(astronaut(), "JPEG", quality=95))
SCENE = bytearray(encoded(scene(40, 60)))


class TestHandle:
    def test_one_face(self, service: Service, model_file: Path) -> None:
        ((status, phrase, kind, answer),) = ask(service, request({"body": FACE}))
        assert (status, phrase, kind) == (200, "OK", "application/json")
        assert list(answer) == ["width", "height", "faces", "model"]
        assert answer["model"] == {
            "name": "age",
            "version": "2.5",
            "weights": weights_identity(model_file),
        }
        (face,) = answer["faces"]
        assert list(face) == ["box", "confidence", "landmarks", "age", "age_interval"]
        assert face["box"] == pytest.approx([181, 62, 268, 172], abs=6)

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
            (501, "Not Implemented", "application/json"),
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
            "NotImplemented",
            None,
        ]
        assert all(list(body) == ["code", "type", "message"] for body in bodies if "type" in body)
        assert [body.get("code", 200) for body in bodies] == [r[0] for r in responses]
        assert bodies[0] == bodies[8]
        assert (bodies[0]["width"], bodies[0]["height"], bodies[0]["faces"]) == (60, 40, [])
        assert len(bodies[4]["faces"]) == 1

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

    def test_a_stream_ends_where_it_came_by_grpc(self, service: Service) -> None:
        """TorchServe's StreamPredictions ends the worker that does not say so."""
        json_body = {"body": bytearray(b'{"data": "' + base64.b64encode(SCENE) + b'"}')}
        responses = told(
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
        ((status, _, _, headers, body), (*_, plain)) = told(
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


class TestInitialize:
    @pytest.fixture(autouse=True)
    def warmed_up(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The batch sizes that were asked for."""
        sizes: list[int] = []
        monkeypatch.setattr(Pipeline, "warm_up", lambda pipeline, size: sizes.append(size))
        return sizes

    def test_warms_up(self, archive: Path, warmed_up: list[int]) -> None:
        load(archive)
        assert warmed_up == [4]

    def test_from_the_root_of_an_archive(self, archive: Path) -> None:
        service = load(archive, module=None)
        assert service._entry_point.__func__.__code__.co_filename == str(archive / SOURCE.name)
        ((status, *_),) = ask(service, request({"body": SCENE}))
        assert status == 200

    def test_says_what_was_loaded(
        self, archive: Path, model_file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "handler"):
            load(archive)
        (line,) = [r.getMessage() for r in caplog.records if r.name == "handler.torchserve_handler"]
        precision = "bfloat16" if fast_in_bfloat16(torch.device("cpu")) else "float32"
        words = f"age 2.5, weights {weights_identity(model_file)}, on cpu in {precision}, "
        assert line.startswith(f"{words}torch {torch.__version__} with 1 threads; ")
        assert "size=64" in line
        assert "thresholds=(0.6, 0.7, 0.7)" in line
        assert "max_pixels=300000, min_face_size=30" in line

    @pytest.mark.parametrize("config", ["", "handler:\n", "batchSize: 4\n"])
    def test_without_settings(self, archive: Path, tmp_path: Path, config: str) -> None:
        service = load(configured(archive, tmp_path, config))
        ((status, *_),) = ask(service, request({"body": SCENE}))
        assert status == 200

    def test_settings_that_are_wrong(self, archive: Path, tmp_path: Path) -> None:
        copy = configured(archive, tmp_path, "handler: {max_side: big}")
        with pytest.raises(SettingsError, match=r"handler\.max_side must be a whole number"):
            load(copy)

    def test_a_file_that_was_exchanged(self, archive: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(archive, tmp_path / "copy")
        (copy / "age.pt").write_bytes(b"another")
        with pytest.raises(IntegrityError, match=r"^'age\.pt' is not the file that was packed$"):
            load(copy)

    def test_precision(
        self, archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        copy = configured(archive, tmp_path, "handler: {precision: float32}")
        with caplog.at_level(logging.INFO, "handler"):
            load(copy)
        (line,) = [r.getMessage() for r in caplog.records if r.name == "handler.torchserve_handler"]
        assert ", on cpu in float32, " in line

    def test_keeps_freed_memory(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = Mock()
        monkeypatch.setattr("handler.torchserve_handler.keep_freed_memory", kept)
        load(archive)
        kept.assert_called_once_with()

    @pytest.mark.parametrize(
        ("gpus", "cores", "setting", "threads"),
        [
            (0, 8, 0, 1),  # there is a worker for each core
            (0, 8, 3, 3),
            (1, 8, 0, 8),  # there is a worker for each GPU
            (2, 7, 0, 3),
            (4, 2, 0, 1),
            (2, 8, 1, 1),
            (0, 4, 64, 4),  # more would wait for each other
        ],
    )
    def test_threads(
        self,
        archive: Path,
        monkeypatch: pytest.MonkeyPatch,
        gpus: int,
        cores: int,
        setting: int,
        threads: int,
    ) -> None:
        asked = Mock()
        monkeypatch.setattr(torch, "set_num_threads", asked)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr("handler.torchserve_handler.cores", lambda: cores)
        monkeypatch.setattr("handler.torchserve_handler.Pipeline.load", Mock(side_effect=Loaded))
        service = worker(archive, gpu=0 if gpus else None)
        service.context.model_yaml_config = {"handler": {"threads": setting}}
        with pytest.raises(Loaded):
            TorchServeHandler().initialize(service.context)
        asked.assert_called_once_with(threads)

    @pytest.mark.parametrize(
        ("gpu", "available", "device"),
        [(None, True, "cpu"), (0, False, "cpu"), (0, True, "cuda:0"), (3, True, "cuda:3")],
    )
    def test_device(
        self,
        archive: Path,
        monkeypatch: pytest.MonkeyPatch,
        gpu: int | None,
        available: bool,
        device: str,
    ) -> None:
        def loaded(file: Path, settings: object, device: torch.device, progress: object) -> None:
            raise Loaded(file.name, str(device))

        monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        monkeypatch.setattr("handler.torchserve_handler.Pipeline.load", loaded)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        monkeypatch.setattr(torch, "set_num_threads", Mock())
        with pytest.raises(Loaded) as caught:
            TorchServeHandler().initialize(worker(archive, gpu).context)
        assert caught.value.args == ("age.pt", device)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("contract", "has 'margin' in 'crop' as nan"),
        ("weights", "the model gives ages that are NaN or infinite"),
        ("list", "it has no hashes.json"),
        ("settings", "handler has an unknown key 'a'"),
    ],
)
def test_tells_in_one_line_of_the_log_why_a_model_is_not_served(
    archive: Path,
    contract: Contract,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    words: str,
) -> None:
    copy = configured(archive, tmp_path, "handler: {a: 1}\n" if what == "settings" else YAML)
    if what in ("contract", "weights"):
        values = json.loads(contract.to_json())
        if what == "contract":
            values["crop"]["margin"] = math.nan
        exported(Broken(), json.dumps(values), copy / "age.pt")
        listed(copy)
    if what == "list":
        (copy / HASHES).unlink()
    with pytest.raises((ContractError, IntegrityError, SettingsError)):
        load(copy)
    (record,) = [r for r in caplog.records if r.name == handler.torchserve_handler.__name__]
    assert record.levelno == logging.CRITICAL
    (line,) = record.getMessage().splitlines()
    assert line.startswith("the model cannot be served: ")
    assert words in line


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ImportError it would be hidden by TorchServe, which then looks for its own handler."""
    monkeypatch.setitem(sys.modules, "handler.pipeline", None)
    spec = importlib.util.spec_from_file_location("age_handler", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(RuntimeError, match=r"handler\.pipeline.*needs torch") as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert isinstance(caught.value.__cause__, ImportError)
