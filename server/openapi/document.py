"""The document: paths, with what `requests`, `answers` and `failures` describe."""

import re
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Final

from server.openapi.answers import SCHEMAS, Schema, ref
from server.openapi.failures import components, failure_schema, health_responses, responses
from server.openapi.requests import (
    FORMATS,
    JSON_EXAMPLE,
    V1_EXAMPLE,
    V2_EXAMPLE,
    parameters,
    schemas_of_requests,
)

_ROOT: Final = Path(__file__).resolve().parents[2]
_JSON: Final = "application/json"
_NAME: Final = {"type": "string", "pattern": r"^[\w.-]{1,64}$"}
_PATH: Final[Mapping[str, Schema]] = {
    name: {"name": name, "in": "path", "required": True, "schema": _NAME, "example": example}
    for name, example in (("model", "age"), ("version", "1.0"))
}
_ACCEPT: Final = {
    "name": "Accept",
    "in": "header",
    "schema": {"type": "string"},
    "description": "image/jpeg or image/png for the photo with its answer drawn",
}
_LENGTH: Final = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "bytes of JSON before the binary tensors",
}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_DESCRIPTION: Final = """Ages, or what other models predict, of the faces in photos.

A key is needed behind the proxy alone, which also serves the paths of health, and this document.
Everything else is the service's own."""


def document() -> Mapping[str, object]:
    """The OpenAPI document, of JSON's types."""
    config = ConfigParser()
    config.read(_ROOT / "setup.cfg")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": config["metadata"]["name"],
            "version": config["metadata"]["version"],
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": {**_predictions(), **_inference(), **_health()},
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "of deploy/keys.py"}
            },
            "parameters": parameters(),
            "responses": components(),
            "schemas": {"Failure": failure_schema(), **SCHEMAS, **schemas_of_requests()},
        },
    }


def _operation(name: str, summary: str, content: Schema, answers: Schema, *more: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*more, *({"$ref": f"#/components/parameters/{n}"} for n in parameters())],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answers, **responses()},
    }


def _predictions() -> dict[str, Schema]:
    content = {
        **dict.fromkeys((*FORMATS, "application/octet-stream"), _BYTES),
        "multipart/form-data": {"schema": ref("Form")},
        _JSON: {
            "schema": {
                "oneOf": [ref("JSONRequest"), ref("Instances"), ref("InferenceRequest")],
            },
            "examples": {
                "one image": {"value": JSON_EXAMPLE},
                "several images": {"value": V1_EXAMPLE},
            },
        },
    }
    answers = {
        "description": "the answer, or the photo with it",
        "content": {
            _JSON: {
                "schema": {
                    "oneOf": [ref("Answer"), ref("Predictions"), ref("InferenceResponse")],
                }
            },
            "image/jpeg": _BYTES,
            "image/png": _BYTES,
        },
    }
    paths: dict[str, Schema] = {}
    for kind, summary in (
        ("predictions", "Predict of one photo, or of several in JSON"),
        ("explanations", "Predict, with an occlusion map of each of the largest faces"),
    ):
        for path, names in (("{model}", ("model",)), ("{model}/{version}", ("model", "version"))):
            paths[f"/{kind}/{path}"] = {
                "parameters": [_PATH[name] for name in names],
                **{
                    method: _operation(
                        f"{method}-{kind}-{len(names)}", summary, content, answers, _ACCEPT
                    )
                    for method in ("post", "put")
                },
            }
    return paths


def _inference() -> dict[str, Schema]:
    v1 = {_JSON: {"schema": ref("Instances"), "examples": {"two": {"value": V1_EXAMPLE}}}}
    v2 = {
        _JSON: {"schema": ref("InferenceRequest"), "examples": {"one": {"value": V2_EXAMPLE}}},
        "application/octet-stream": {
            **_BYTES,
            "x-content": "the JSON, then the binary tensors; see Inference-Header-Content-Length",
        },
    }
    answered = {
        "description": "an answer or a failure for each image",
        "headers": {
            _LENGTH["name"]: {
                "description": "bytes of JSON before the binary tensor",
                "schema": {"type": "integer"},
            }
        },
        "content": {
            _JSON: {"schema": ref("InferenceResponse")},
            "application/octet-stream": _BYTES,
        },
    }
    predicted = {
        "description": "an answer or a failure for each instance",
        "content": {_JSON: {"schema": ref("Predictions")}},
    }
    infer = "Open inference protocol, version 2: image files in tensors"
    return {
        "/v1/models/{model}:predict": {
            "parameters": [_PATH["model"]],
            "post": _operation("v1-predict", "Version 1: several images", v1, predicted),
        },
        "/v2/models/{model}/infer": {
            "parameters": [_PATH["model"]],
            "post": _operation("v2-infer", infer, v2, answered, _LENGTH),
        },
        "/v2/models/{model}/versions/{version}/infer": {
            "parameters": [_PATH["model"], _PATH["version"]],
            "post": _operation("v2-infer-version", f"{infer}; proxy", v2, answered, _LENGTH),
        },
    }


def _health() -> dict[str, Schema]:
    flag = {"type": "boolean"}
    tensor = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "datatype": {"const": "BYTES"},
                "shape": {"const": [-1]},
            },
        },
    }
    strings = {"type": "array", "items": {"type": "string"}}
    model_ready: dict[str, Schema] = {"name": {"type": "string"}, "ready": flag}
    described: dict[str, Schema] = {
        "name": {"type": "string"},
        "versions": strings,
        "platform": {"type": "string"},
        "inputs": tensor,
        "outputs": tensor,
    }
    server: dict[str, Schema] = {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "extensions": strings,
    }
    known: dict[str, tuple[str, Mapping[str, Schema]]] = {
        "/ping": ("Whether TorchServe answers", {"status": {"type": "string"}}),
        "/openapi.json": ("This document", {}),
        "/v2": ("What serves", server),
        "/v2/health/live": ("Whether TorchServe answers", {"live": flag}),
        "/v2/health/ready": ("Whether every model has a worker", {"ready": flag}),
        "/v1/models/{model}": ("Whether a model has a worker", model_ready),
        "/v2/models/{model}/ready": ("Whether a model has a worker", model_ready),
        "/v2/models/{model}/versions/{version}/ready": ("As above, of a version", model_ready),
        "/v2/models/{model}": ("What a model takes and gives; needs a key", described),
        "/v2/models/{model}/versions/{version}": ("As above, of a version", described),
    }
    return {path: _read(path, *each) for path, each in known.items()}


def _read(path: str, summary: str, properties: Mapping[str, Schema]) -> Schema:
    needs_key = "/models/" in path and path.startswith("/v2") and not path.endswith("/ready")
    content = {"type": "object", "properties": properties, "required": [*properties]}
    return {
        "parameters": [each for name, each in _PATH.items() if f"{{{name}}}" in path],
        "get": {
            "operationId": "get" + re.sub(r"\W+", "-", path).rstrip("-"),
            "summary": summary,
            "security": [{"key": []}] if needs_key else [],
            "responses": {
                "200": {"description": "yes", "content": {_JSON: {"schema": content}}},
                **health_responses(),
            },
        },
    }
