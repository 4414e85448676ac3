"""Encodes answers and failures as compact ASCII JSON."""

import json
from collections.abc import Iterable

from handler.answer import Answer, Face, Model
from handler.errors import Failure


def encode(outcome: Answer | Failure, model: Model) -> bytes:
    """The body of one response; a failure has the keys of TorchServe's own errors."""
    content: dict[str, object]
    if isinstance(outcome, Failure):
        content = {"code": outcome.code, "type": outcome.type, "message": outcome.message}
    else:
        content = {
            "width": outcome.width,
            "height": outcome.height,
            "faces": [_face(face) for face in outcome.faces],
            "model": {
                "name": model.name,
                "version": model.version,
                "weights": model.weights,
            },
        }
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def _face(face: Face) -> dict[str, object]:
    return {
        "box": _rounded(face.box),
        "confidence": round(face.confidence, 5),
        "landmarks": [_rounded(point) for point in face.landmarks],
        "age": round(face.age, 1),
        "age_interval": _rounded(face.interval),
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 1) + 0.0 for value in values]  # + 0.0: never -0.0
