"""Answers of the service, parsed and checked."""

import json
from dataclasses import dataclass
from typing import Any, Final

from face_age_client.errors import Malformed, Refused

MAX_AGE: Final = 116  # years: the last of the model's classes


@dataclass(frozen=True)
class Face:
    """One face; box and landmarks in pixels of the upright image."""

    box: tuple[float, float, float, float]  # x1, y1, x2, y2
    confidence: float  # 0 to 1
    landmarks: tuple[tuple[float, float], ...]  # eyes, nose, corners of the mouth
    age: float  # years
    age_interval: tuple[float, float]  # years: low, high


@dataclass(frozen=True)
class Answer:
    """The faces in one image, largest first."""

    width: int  # pixels, of the upright image
    height: int
    faces: tuple[Face, ...]
    model_name: str
    model_version: str
    content: dict[str, Any]  # the JSON as it came
    model_weights: str = ""  # 12 hex digits, a checksum; "" from a service older than 1.1


def parse(body: bytes) -> Answer:
    """The answer in the body of a response.

    Raises:
        Refused: The body is a failure.
        Malformed: The body is neither a failure nor a valid answer.
    """
    try:
        content = json.loads(body)
        if content.keys() >= {"code", "type", "message"}:
            raise Refused(content["type"], content["message"], content["code"])
        return Answer(
            width=_whole(content["width"]),
            height=_whole(content["height"]),
            faces=tuple(_face(face) for face in content["faces"]),
            model_name=content["model"]["name"],
            model_version=content["model"]["version"],
            content=content,
            model_weights=content["model"].get("weights", ""),
        )
    except KeyError as error:
        raise Malformed(f"the answer has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise Malformed(f"the answer is not what was promised: {error}") from error


def _whole(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of pixels")
    return value


def _face(content: dict[str, Any]) -> Face:
    x1, y1, x2, y2 = map(float, content["box"])
    landmarks = tuple((float(x), float(y)) for x, y in content["landmarks"])
    low, high = map(float, content["age_interval"])
    age, confidence = float(content["age"]), float(content["confidence"])
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"the box {content['box']} is empty")
    if len(landmarks) != 5:
        raise ValueError(f"{len(landmarks)} landmarks, not 5")
    if not 0 <= confidence <= 1:
        raise ValueError(f"a confidence of {confidence}")
    if not (0 <= age <= MAX_AGE and low <= age <= high):
        raise ValueError(f"an age of {age} in the interval {low} to {high}")
    return Face((x1, y1, x2, y2), confidence, landmarks, age, (low, high))
