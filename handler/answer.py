"""The answer to one request: the image's size and the faces in it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Face:
    """One face; box and landmarks in pixels of the upright image."""

    box: tuple[float, ...]  # x1, y1, x2, y2; may reach past the image
    confidence: float  # 0 to 1
    landmarks: tuple[tuple[float, ...], ...]  # x, y of the eyes, the nose, the mouth's corners
    age: float  # years
    interval: tuple[float, ...]  # years: low, high


@dataclass(frozen=True)
class Answer:
    """Size of the upright image and its faces, largest first."""

    width: int  # pixels
    height: int
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Model:
    """The model that answers, under the name that it is registered by in TorchServe."""

    name: str
    version: str
    weights: str  # see `handler.integrity.weights_identity`
