"""Schemas and parameters of requests: images, forms, JSON, options."""

import base64
from collections.abc import Mapping
from typing import Final

from handler.options import HEADERS, NAMES, schemas
from handler.settings import Settings
from server.openapi.answers import Schema, ref

# A GIF of one white pixel, so that examples are answered.
PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b"
)
EXAMPLE: Final = base64.b64encode(PIXEL).decode()
MEANINGS: Final[Mapping[str, str]] = {
    "min_confidence": "faces below it are left out",
    "max_faces": "the largest are kept; the proxy allows 300",
    "attributes": "names of tasks, with commas between them, of an archive that has several",
    "top_k": "how many categories ..._scores holds",
    "distribution": "adds ..._distribution, the probability of each number",
    "quality": "adds quality to each face",
    "relative": "adds relative_box to each face",
    "rotate": "auto: faces are looked for in the turned image too, where it may be turned",
    "annotate": "a picture in place of JSON",
}
FORMATS: Final = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif")
_BASE64: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "an image file in standard base64, or a data URL with it",
    "examples": [EXAMPLE],
}
_IN_B64: Final = {
    "oneOf": [
        ref("Base64"),
        {
            "type": "object",
            "properties": {"b64": ref("Base64")},
            "required": ["b64"],
            "additionalProperties": False,
        },
    ]
}


def _options(*without: str) -> dict[str, Schema]:
    known = schemas()
    return {
        name: {**known[name], "description": MEANINGS[name]}
        for name in NAMES
        if name not in without
    }


def _instance() -> Schema:
    each = [
        {
            "type": "object",
            "properties": {key: taken, **_options("annotate")},
            "required": [key],
            "additionalProperties": False,
        }
        for key, taken in (("b64", ref("Base64")), ("data", _IN_B64), ("image_bytes", _IN_B64))
    ]
    return {"oneOf": [ref("Base64"), *each]}


def parameters() -> Mapping[str, Schema]:
    """The options as headers, and in the query, which the proxy alone takes."""
    found: dict[str, Schema] = {}
    headers = {option: header for header, option in HEADERS.items()}
    for name, schema in _options().items():
        header = headers[name].title()
        found[header] = {"name": header, "in": "header", "schema": schema}
        words = "as the header; the proxy takes it, TorchServe drops it"
        found[name] = {"name": name, "in": "query", "schema": schema, "description": words}
    return found


def schemas_of_requests() -> Mapping[str, Schema]:
    """The schemas that requests refer to."""
    most = Settings().max_images
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    strings = {"type": "array", "items": {"type": "string"}}
    return {
        "Base64": _BASE64,
        "Options": {
            "type": "object",
            "properties": _options("annotate"),
            "additionalProperties": False,
        },
        "JSONRequest": {
            "type": "object",
            "properties": {"data": ref("Base64"), **_options()},
            "required": ["data"],
            "additionalProperties": False,
        },
        "Form": {
            "type": "object",
            "properties": {"data": binary, **_options()},
            "required": ["data"],
            "additionalProperties": False,
        },
        "Instance": _instance(),
        "Instances": {
            "type": "object",
            "properties": {
                "instances": {
                    "type": "array",
                    "items": ref("Instance"),
                    "minItems": 1,
                    "maxItems": most,
                },
                "parameters": ref("Options"),
            },
            "required": ["instances"],
            "additionalProperties": False,
        },
        "Tensor": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "shape": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "minItems": 1,
                    "maxItems": 8,
                },
                "datatype": {"enum": ["BYTES", "UINT8"]},
                "data": {
                    "oneOf": [
                        strings | {"description": "BYTES: base64 of image files"},
                        {
                            "type": "array",
                            "items": {"type": ["integer", "array"]},
                            "description": "UINT8: the bytes of image files, one in each row",
                        },
                    ]
                },
                "parameters": {
                    "type": "object",
                    "properties": {
                        "binary_data_size": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "bytes of this tensor behind the JSON",
                        },
                        "content_type": {"type": "string"},
                    },
                    "additionalProperties": False,
                },
            },
            "required": ["name", "shape", "datatype"],
            "additionalProperties": False,
        },
        "InferenceRequest": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "maxLength": 1024},
                "model_name": {"description": "ignored: the path names the model"},
                "model_version": {"description": "ignored"},
                "parameters": {
                    "type": "object",
                    "properties": {
                        **_options("annotate"),
                        "binary_data_output": {"type": "boolean"},
                    },
                    "additionalProperties": False,
                },
                "inputs": {"type": "array", "items": ref("Tensor"), "minItems": 1},
                "outputs": {
                    "type": "array",
                    "maxItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"const": "answer"},
                            "parameters": {
                                "type": "object",
                                "properties": {"binary_data": {"type": "boolean"}},
                                "additionalProperties": False,
                            },
                        },
                        "required": ["name"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["inputs"],
            "additionalProperties": False,
        },
    }


JSON_EXAMPLE: Final = {"data": EXAMPLE, "max_faces": 10}
V1_EXAMPLE: Final = {
    "instances": [{"b64": EXAMPLE}, {"image_bytes": {"b64": EXAMPLE}, "max_faces": 1}],
    "parameters": {"min_confidence": 0.8},
}
V2_EXAMPLE: Final = {
    "id": "42",
    "parameters": {"max_faces": 10},
    "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [EXAMPLE]}],
}
