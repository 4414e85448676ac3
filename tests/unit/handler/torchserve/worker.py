"""TorchServe's own loader and service around the adapter, and its protocol."""

import json
import shutil
import struct
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

import handler.torchserve_handler
from handler.integrity import HASHES, listing
from tests.images import astronaut, encoded, scene

with warnings.catch_warnings(action="ignore"):
    from ts.model_loader import TsModelLoader
    from ts.service import Service

SOURCE = Path(handler.torchserve_handler.__file__)
YAML = "batchSize: 4\nhandler:\n  max_pixels: 300000\n  min_face_size: 30\n"


FACE = bytearray(encoded(astronaut(), "JPEG", quality=95))
SCENE = bytearray(encoded(scene(40, 60)))


def listed(archive: Path) -> None:
    """Write the list of hashes of what is there."""
    models = (file.name for file in archive.glob("*.pt"))
    names = (*models, SOURCE.name, "model-config.yaml")
    (archive / HASHES).write_text(listing({name: archive / name for name in names}))


def configured(archive: Path, folder: Path, config: str) -> Path:
    """A copy of the archive with another model-config.yaml."""
    copy = shutil.copytree(archive, folder / "copy")
    (copy / "model-config.yaml").write_text(config)
    listed(copy)
    return copy


def load(archive: Path, module: ModuleType | None = handler.torchserve_handler) -> Service:
    """What TorchServe's worker does with an archive; `module` None: its file at the root, too."""
    with pytest.MonkeyPatch.context() as patch:
        if module:  # whose lines are counted by the coverage
            patch.setitem(sys.modules, "torchserve_handler", module)
        else:
            patch.syspath_prepend(archive)
        service = TsModelLoader().load(
            "age", str(archive), SOURCE.name, batch_size=4, metrics_cache=Mock()
        )
    if not module:
        del sys.modules["torchserve_handler"]
    service.set_cl_socket(None)
    return service


def worker(archive: Path, gpu: int | None) -> Service:
    """A worker's context, before it is initialised; `gpu`: the one that is the worker's."""
    manifest = json.loads((archive / "MAR-INF" / "MANIFEST.json").read_text())
    return Service("age", str(archive), manifest, None, gpu, 1)


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
        (status, phrase, kind, body)
        for status, phrase, kind, _, body in all_responses(service, requests)
    ]


def all_responses(
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
