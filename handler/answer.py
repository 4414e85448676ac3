"""The answer to one request: the image's size, the faces in it, and what tasks predict of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OrdinalPrediction:
    """A number, in the unit of the task's output."""

    value: float
    interval: tuple[float, ...]  # low, high
    low: int  # number of the first probability
    distribution: tuple[float, ...] | None = None  # probability of each whole number, if asked for


@dataclass(frozen=True)
class CategoryPrediction:
    """The most probable category, and others."""

    label: str
    probability: float  # calibrated, 0 to 1
    scores: Mapping[str, float]  # probabilities of the `top_k` most probable, in that order
    prediction_set: tuple[str, ...]  # the most probable first


Attributes = Mapping[str, OrdinalPrediction | CategoryPrediction]  # by the tasks' names


@dataclass(frozen=True)
class Quality:
    """Properties of a face's crop; see `handler.faces.quality`."""

    sharpness: float
    brightness: float  # 0 to 1
    roll: float  # degrees, clockwise


@dataclass(frozen=True)
class Explanation:
    """What each part of a square adds to a prediction; see `handler.occlusion`."""

    area: tuple[float, ...]  # x1, y1, x2, y2 of the square, in pixels of the upright image
    effects: tuple[tuple[float, ...], ...]  # rows from the top, in the prediction's unit


@dataclass(frozen=True)
class Face:
    """One face; box and landmarks in pixels of the upright image."""

    box: tuple[float, ...]  # x1, y1, x2, y2; may reach past the image
    confidence: float  # 0 to 1
    landmarks: tuple[tuple[float, ...], ...]  # x, y of the eyes, the nose, the mouth's corners
    attributes: Attributes
    relative_box: tuple[float, ...] | None = None  # in fractions of width and height, if asked for
    quality: Quality | None = None  # if asked for
    explanations: Mapping[str, Explanation] | None = None  # by the tasks' names, if asked for


@dataclass(frozen=True)
class Picture:
    """An answer drawn on its image."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Answer:
    """Size of the upright image, its faces, largest first, and attributes of the whole image."""

    width: int  # pixels
    height: int
    faces: tuple[Face, ...] | None  # None: no task is about faces
    image: Attributes | None = None  # None: no task is about the whole image
    smallest_face: float | None = None  # pixels; narrower ones were not looked for
    image_explanations: Mapping[str, Explanation] | None = None  # if asked for
    rotation: int | None = (
        None  # degrees clockwise that it was turned by for its faces, if asked for
    )
    picture: Picture | None = None  # if asked for, in place of all this
    largest: Quality | None = None  # of the first face, for `handler.drift` alone


@dataclass(frozen=True)
class Model:
    """The model that answers, under the name that it is registered by in TorchServe."""

    name: str
    version: str
    weights: str  # see `handler.integrity.weights_identity`
