"""Answers of the service, parsed and checked."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from face_age_client.errors import Malformed, Refused

_INTERVAL: Final = "_interval"  # an ordinal task's key ends so
_EXPLANATION: Final = "_explanation"
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG")  # what they begin with
_PROBABILITY: Final = "_probability"  # a category's


@dataclass(frozen=True)
class Ordinal:
    """A number, such as an age in years."""

    value: float
    interval: tuple[float, float]  # low, high
    # probability of each whole number, if asked for
    distribution: Mapping[int, float] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class Category:
    """The most probable of several names, such as an emotion."""

    label: str
    probability: float  # 0 to 1
    scores: Mapping[str, float] = field(hash=False)  # of the most probable, in that order
    prediction_set: tuple[str, ...]  # names that are likely to hold the true one


Predictions = Mapping[str, Ordinal | Category]  # by the tasks' names


@dataclass(frozen=True)
class Quality:
    """Properties of a face's crop."""

    sharpness: float  # variance of the Laplacian; 0 for a flat area
    brightness: float  # 0 to 1
    roll: float  # degrees, clockwise


@dataclass(frozen=True)
class Explanation:
    """An occlusion map: what each part of a square adds to a prediction."""

    area: tuple[float, float, float, float]  # x1, y1, x2, y2 of the square, pixels of the image
    # rows from the top: by how many years, say, the prediction falls when the part is covered; of a
    # category by how much its probability falls
    effects: tuple[tuple[float, ...], ...]


Explanations = Mapping[str, Explanation]  # by the tasks' names


@dataclass(frozen=True)
class Face:
    """One face; box and landmarks in pixels of the upright image."""

    box: tuple[float, float, float, float]  # x1, y1, x2, y2
    confidence: float  # 0 to 1
    landmarks: tuple[tuple[float, float], ...]  # eyes, nose, corners of the mouth
    predictions: Predictions = field(hash=False)
    relative_box: tuple[float, float, float, float] | None = None  # if asked for
    quality: Quality | None = None  # if asked for
    explanations: Explanations | None = field(default=None, hash=False)  # from `explain`

    @property
    def age(self) -> float:
        """Years; raises AttributeError if the answer has no age."""
        return self._age.value

    @property
    def age_interval(self) -> tuple[float, float]:
        """Years, low and high; raises AttributeError if the answer has no age."""
        return self._age.interval

    @property
    def _age(self) -> Ordinal:
        age = self.predictions.get("age")
        if not isinstance(age, Ordinal):
            given = ", ".join(self.predictions)
            raise AttributeError(f"the answer has no age in years; face.predictions has {given}")
        return age


@dataclass(frozen=True)
class Answer:
    """The faces in one image, largest first, and what is predicted of the whole image."""

    width: int  # pixels, of the upright image
    height: int
    faces: tuple[Face, ...]  # () from a model of whole images
    model_name: str
    model_version: str
    content: dict[str, Any]  # the JSON as it came
    model_weights: str = ""  # 12 hex digits, a checksum; "" from a service older than 1.1
    image: Predictions | None = None  # None from a model of faces
    # pixels; narrower faces were not looked for; None from a service older than 1.2, or a model of
    # whole images
    smallest_face: float | None = None
    # degrees clockwise that the image was turned by for its faces: 0, 90, 180 or 270; None if not
    # asked for. Boxes and landmarks are in pixels of the image as it was sent.
    rotation: int | None = None
    image_explanations: Explanations | None = None  # from `explain`, of a model of whole images


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
        image = content.get("image")
        return Answer(
            width=_pixels(content["width"]),
            height=_pixels(content["height"]),
            faces=tuple(
                map(_face, content["faces"] if image is None else content.get("faces", ()))
            ),
            model_name=content["model"]["name"],
            model_version=content["model"]["version"],
            content=content,
            model_weights=content["model"].get("weights", ""),
            image=None if image is None else _predictions(image),
            smallest_face=(
                _number(content["smallest_face"]) if "smallest_face" in content else None
            ),
            image_explanations=None if image is None else _explanations(image),
            rotation=_rotation(content["rotation"]) if "rotation" in content else None,
        )
    except KeyError as error:
        raise Malformed(f"the answer has no {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise Malformed(f"the answer is not what was promised: {error}") from error


def picture(body: bytes) -> bytes:
    """The picture that a response's body is.

    Raises:
        Refused: The body is a failure.
        Malformed: The body is neither a failure nor a JPEG or PNG.
    """
    if body.startswith(_PICTURES):
        return body
    parse(body)
    raise Malformed("the answer is not a picture")


def _face(content: dict[str, Any]) -> Face:
    landmarks = tuple((_number(x), _number(y)) for x, y in content["landmarks"])
    if len(landmarks) != 5:
        raise ValueError(f"{len(landmarks)} landmarks, not 5")
    return Face(
        _box(content["box"]),
        _fraction(content["confidence"], "a confidence"),
        landmarks,
        _predictions(content),
        _box(content["relative_box"]) if "relative_box" in content else None,
        _quality(content["quality"]) if "quality" in content else None,
        _explanations(content),
    )


def _box(content: list[object]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(_number, content)
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"the box {content} is empty")
    return x1, y1, x2, y2


def _quality(content: dict[str, Any]) -> Quality:
    return Quality(
        _number(content["sharpness"]),
        _fraction(content["brightness"], "a brightness"),
        _number(content["roll"]),
    )


def _predictions(content: dict[str, Any]) -> Predictions:
    """The tasks, found by their keys; other keys are ignored."""
    found: dict[str, Ordinal | Category] = {}
    for key in content:
        if key.endswith(_INTERVAL):
            name = key.removesuffix(_INTERVAL)
            found[name] = _ordinal(content, name)
        elif key.endswith(_PROBABILITY):
            name = key.removesuffix(_PROBABILITY)
            found[name] = _category(content, name)
    if not found:
        raise ValueError("nothing is predicted of a face or an image")
    return found


def _explanations(content: dict[str, Any]) -> Explanations | None:
    """The tasks' maps, found by their keys; None where there is none."""
    found = {
        key.removesuffix(_EXPLANATION): Explanation(
            _box(value["area"]), tuple(tuple(map(_number, row)) for row in value["effects"])
        )
        for key, value in content.items()
        if key.endswith(_EXPLANATION)
    }
    return found or None


def _ordinal(content: dict[str, Any], name: str) -> Ordinal:
    value = _number(content[name])
    low, high = map(_number, content[name + _INTERVAL])
    if not low <= value <= high:
        raise ValueError(f"{name} is {value} in the interval {low} to {high}")
    distribution = content.get(f"{name}_distribution")
    if distribution is None:
        return Ordinal(value, (low, high))
    first = distribution["low"]
    if type(first) is not int:
        raise ValueError(f"{first!r} is no whole number")
    found = (_fraction(p, "a probability") for p in distribution["probabilities"])
    return Ordinal(value, (low, high), dict(enumerate(found, start=first)))


def _category(content: dict[str, Any], name: str) -> Category:
    return Category(
        _label(content[name]),
        _fraction(content[name + _PROBABILITY], "a probability"),
        {
            _label(label): _fraction(score, "a score")
            for label, score in content[f"{name}_scores"].items()
        },
        tuple(_label(label) for label in content[f"{name}_set"]),
    )


def _pixels(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no number of pixels")
    return value


def _rotation(value: object) -> int:
    if type(value) is not int or value not in (0, 90, 180, 270):
        raise ValueError(f"{value!r} is no turn by right angles")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is no number")
    return float(value)  # type: ignore[arg-type]


def _fraction(value: object, what: str) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{what} of {number}")
    return number


def _label(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no name of a category")
    return value
