"""Failures: the handler's by its own classes, TorchServe's and the proxy's by docs/errors.md."""

import inspect
from collections.abc import Mapping
from typing import Final

from handler.errors import Failure
from server.openapi.answers import Schema, ref

HANDLER: Final = "the handler"
TORCHSERVE: Final = "TorchServe"
PROXY: Final = "the proxy"
# Of the proxy, by nginx.conf's $failure_type; options are its own requests.js'.
OF_PROXY: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("InvalidRequest", "InvalidOption"),
    401: ("Unauthorized",),
    404: ("NotFound",),
    405: ("MethodNotAllowed",),
    413: ("RequestTooLarge",),
    414: ("InvalidRequest",),
    415: ("UnsupportedMediaType",),
    429: ("TooManyRequests",),
    431: ("HeadersTooLarge",),
    500: ("InternalError",),
    501: ("NotImplemented",),
    503: ("ServiceUnavailable",),
    504: ("GatewayTimeout",),
}
OF_TORCHSERVE: Final[Mapping[int, tuple[str, ...]]] = {
    404: ("ModelNotFoundException", "ModelVersionNotFoundException", "ResourceNotFoundException"),
    405: ("MethodNotAllowedException",),
    413: (),
    500: ("ErrorDataDecoderException", "InternalServerException"),
    503: ("ServiceUnavailableException",),
    507: ("InternalServerException",),
}
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "seconds to wait, where waiting helps",
        "schema": {"type": "integer"},
    }
}
_OF_IMAGES, _OF_HEALTH = "Image", "Health"
_STRANGERS: Final = (400, 401, 404, 405, 413, 414, 429, 431, 503)  # of what has no image


def failure_schema() -> Schema:
    """The shape of every failure, with each type that there is."""
    own = {kind.type for kind in Failure.__subclasses__()}
    known = (*OF_PROXY.values(), *OF_TORCHSERVE.values())
    others = {name for names in known for name in names}
    return {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "the HTTP status"},
            "type": {"type": "string", "enum": sorted(own | others)},
            "message": {"type": "string", "description": "what is wrong and what to do"},
            "error": {"type": "string", "description": "the message, for paths of /v1 and /v2"},
        },
        "required": ["code", "type", "message"],
        "additionalProperties": False,
    }


def components() -> dict[str, Schema]:
    """The responses that paths refer to: all of a status, and those of what needs no image."""
    given: dict[int, list[str]] = {}
    for kind in Failure.__subclasses__():
        words = " ".join((inspect.getdoc(kind) or "").split())
        given.setdefault(kind.code, []).append(f"{kind.type} ({HANDLER}): {words}")
    for known, whose in ((OF_TORCHSERVE, TORCHSERVE), (OF_PROXY, PROXY)):
        for code, names in known.items():
            given.setdefault(code, []).append(f"{', '.join(names) or 'no body'} ({whose})")
    found = {f"{_OF_IMAGES}{code}": _response(code, given[code]) for code in sorted(given)}
    for code in _STRANGERS:
        found[f"{_OF_HEALTH}{code}"] = _response(code, [f"{', '.join(OF_PROXY[code])} ({PROXY})"])
    return found


def responses() -> dict[str, Schema]:
    """References to the responses of failures of an image, by their status."""
    names = (name for name in components() if name.startswith(_OF_IMAGES))
    return {name.removeprefix(_OF_IMAGES): _reference(name) for name in names}


def health_responses() -> dict[str, Schema]:
    """References to those of what needs no image."""
    return {str(code): _reference(f"{_OF_HEALTH}{code}") for code in _STRANGERS}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/responses/{name}"}


def _response(code: int, cases: list[str]) -> Schema:
    headers = {"headers": _RETRY_AFTER} if code in (429, 503) else {}
    content = {"application/json": {"schema": ref("Failure")}}
    return {"description": "; ".join(cases), **headers, "content": content}
