"""Encodes answers and failures as compact ASCII JSON, or an answer as its picture."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from handler.accept import JSON
from handler.answer import (
    Answer,
    Attributes,
    CategoryPrediction,
    Explanation,
    Face,
    Model,
    OrdinalPrediction,
)
from handler.errors import Failure


@dataclass(frozen=True)
class Response:
    """What one request is answered."""

    body: bytes
    media_type: str = JSON
    code: int = 200
    phrase: str = "OK"
    headers: Mapping[str, str] = field(default_factory=dict)


def response(outcome: Answer | Failure, model: Model) -> Response:
    """The response to a request with one image."""
    if isinstance(outcome, Failure):
        return Response(encode(outcome, model), JSON, outcome.code, outcome.phrase)
    if outcome.picture is not None:
        return Response(outcome.picture.content, outcome.picture.media_type)
    return Response(encode(outcome, model))


def encode(outcome: Answer | Failure, model: Model) -> bytes:
    """The JSON of an answer or a failure."""
    return json.dumps(content_of(outcome, model), separators=(",", ":"), allow_nan=False).encode(
        "ascii"
    )


def content_of(outcome: Answer | Failure, model: Model) -> dict[str, object]:
    """The keys and rounded values of an answer; a failure has the keys of TorchServe's own."""
    content: dict[str, object]
    if isinstance(outcome, Failure):
        return {"code": outcome.code, "type": outcome.type, "message": outcome.message}
    content = {"width": outcome.width, "height": outcome.height}
    if outcome.faces is not None:
        content["faces"] = [face_content(face) for face in outcome.faces]
    if outcome.smallest_face is not None:
        content["smallest_face"] = round(outcome.smallest_face, 1)
    if outcome.rotation is not None:
        content["rotation"] = outcome.rotation
    if outcome.image is not None:
        content["image"] = attributes_content(outcome.image, outcome.image_explanations)
    content["model"] = {
        "name": model.name,
        "version": model.version,
        "weights": model.weights,
    }
    return content


def face_content(face: Face) -> dict[str, object]:
    """A face's keys and rounded values."""
    content: dict[str, object] = {"box": _rounded(face.box)}
    if face.relative_box is not None:
        content["relative_box"] = _rounded(face.relative_box, 5)
    content["confidence"] = round(face.confidence, 5)
    content["landmarks"] = [_rounded(point) for point in face.landmarks]
    content |= attributes_content(face.attributes, face.explanations)
    if (quality := face.quality) is not None:
        content["quality"] = {
            "sharpness": round(quality.sharpness, 1),
            "brightness": round(quality.brightness, 3),
            "roll": round(quality.roll, 1) + 0.0,
        }
    return content


def attributes_content(
    attributes: Attributes, explanations: Mapping[str, Explanation] | None = None
) -> dict[str, object]:
    """Each task's keys, which begin with its name, and rounded values."""
    content: dict[str, object] = {}
    for name, prediction in attributes.items():
        if isinstance(prediction, OrdinalPrediction):
            values = _ordinal(prediction)
        else:
            values = _category(prediction)
        content |= {name + ending: value for ending, value in values.items()}
        if explanations is not None and name in explanations:
            content[f"{name}_explanation"] = _explanation(explanations[name])
    return content


def _explanation(explanation: Explanation) -> dict[str, object]:
    return {
        "area": _rounded(explanation.area),
        "effects": [_rounded(row, 3) for row in explanation.effects],
    }


def _ordinal(prediction: OrdinalPrediction) -> dict[str, object]:
    content: dict[str, object] = {
        "": round(prediction.value, 1),
        "_interval": _rounded(prediction.interval),
    }
    if prediction.distribution is not None:
        content["_distribution"] = {
            "low": prediction.low,
            "probabilities": _rounded(prediction.distribution, 5),
        }
    return content


def _category(prediction: CategoryPrediction) -> dict[str, object]:
    return {
        "": prediction.label,
        "_probability": round(prediction.probability, 4),
        "_scores": {name: round(score, 4) for name, score in prediction.scores.items()},
        "_set": list(prediction.prediction_set),
    }


def _rounded(values: Iterable[float], digits: int = 1) -> list[float]:
    return [round(value, digits) + 0.0 for value in values]  # + 0.0: never -0.0
