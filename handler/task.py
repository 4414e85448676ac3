"""A task as data: what a model takes and what its probabilities mean."""

import re
from dataclasses import dataclass

LARGEST_CROP = 4096  # side, pixels
LARGEST_MARGIN = 10.0
MOST_CLASSES = 10_000
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Keys of a face or an image in an answer: a task's own keys begin with its name.
_RESERVED = frozenset({"box", "relative_box", "confidence", "landmarks", "quality"})
_SUFFIXES = ("_interval", "_distribution", "_probability", "_scores", "_set", "_explanation")


@dataclass(frozen=True)
class CropGeometry:
    """Geometry of a face's crop; see `handler.imaging.crop`."""

    size: int  # side of the square crop, pixels
    margin: float  # crop side = (1 + margin) * mean of the box's width and height; may be negative
    fill: int  # grey level, 0 to 255, past the image's border

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of its range."""
        _check_size(self.size)
        if not -1 < self.margin <= LARGEST_MARGIN:
            raise ValueError(
                f"the model's crop has a margin of {self.margin}, not above -1 and up to "
                f"{LARGEST_MARGIN}"
            )
        if not 0 <= self.fill <= 255:
            raise ValueError(f"the model's crop has a fill of {self.fill}, not from 0 to 255")


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of the detector that made the training crops; see `handler.faces.detector`."""

    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)  # of P-, R- and O-Net
    factor: float = 0.709  # ratio of two scales of the pyramid
    border: float = 0.5  # of the canvas for frame-filling faces, as a fraction of the image's side

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of its range."""
        if not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise ValueError(
                f"the model's detector has thresholds of {self.thresholds}, not from 0 to 1"
            )
        if not 0.1 <= self.factor <= 0.95:  # nearer to 1, the pyramid has hundreds of levels
            raise ValueError(
                f"the model's detector has a factor of {self.factor}, not from 0.1 to 0.95"
            )
        if not 0 <= self.border <= 2:
            raise ValueError(f"the model's detector has a border of {self.border}, not from 0 to 2")


@dataclass(frozen=True)
class FaceInput:
    """The faces of an image, found and cropped."""

    detector: DetectorSettings
    crop: CropGeometry

    @property
    def size(self) -> int:
        """Side of the model's input, pixels."""
        return self.crop.size


@dataclass(frozen=True)
class ImageInput:
    """The whole image: a square in its centre, scaled."""

    size: int  # side of the model's input, pixels
    crop_fraction: float  # side of the square as a fraction of the shorter side; above 1: padded

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of its range."""
        _check_size(self.size)
        if not 0.1 <= self.crop_fraction <= 2:
            raise ValueError(
                f"the model's crop_fraction is {self.crop_fraction}, not from 0.1 to 2"
            )

    @property
    def crop(self) -> CropGeometry:
        """The geometry of the square's crop."""
        return CropGeometry(self.size, margin=0, fill=0)


@dataclass(frozen=True)
class Ordinal:
    """Whole numbers in order, such as years; the prediction is the distribution's median."""

    low: int
    high: int
    unit: str

    def __post_init__(self) -> None:
        """Raise ValueError unless there are 2 to `MOST_CLASSES` values."""
        if not 2 <= self.classes <= MOST_CLASSES:
            raise ValueError(
                f"the model's output has values from {self.low} to {self.high}: 2 to "
                f"{MOST_CLASSES} are possible"
            )

    @property
    def classes(self) -> int:
        """Number of values: the length of a distribution."""
        return self.high - self.low + 1


@dataclass(frozen=True)
class Categories:
    """Names without an order; the prediction is the most probable one."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless 2 to `MOST_CLASSES` names are given, distinct and not empty."""
        if not 2 <= self.classes <= MOST_CLASSES:
            raise ValueError(
                f"the model's output has {self.classes} names: 2 to {MOST_CLASSES} are possible"
            )
        if not all(name.strip() and name.isprintable() for name in self.names):
            raise ValueError("the model's output has a name that is empty or cannot be printed")
        if len(set(self.names)) < self.classes:
            raise ValueError("the model's output names a category twice")

    @property
    def classes(self) -> int:
        """Number of names: the length of a distribution."""
        return len(self.names)


@dataclass(frozen=True)
class Task:
    """What a model predicts, and of what."""

    name: str
    input: FaceInput | ImageInput
    output: Ordinal | Categories

    def __post_init__(self) -> None:
        """Raise ValueError for a name that cannot be a key of an answer."""
        if (
            _NAME.fullmatch(self.name) is None
            or self.name in _RESERVED
            or self.name.endswith(_SUFFIXES)
        ):
            raise ValueError(
                f"a task cannot be named {self.name!r}: use lower-case letters, digits and single "
                f"underscores; no {', '.join(sorted(_RESERVED))}, and no ending "
                f"{', '.join(_SUFFIXES)}"
            )

    @property
    def is_of_faces(self) -> bool:
        """Whether it predicts something of each face, not of the whole image."""
        return isinstance(self.input, FaceInput)


def _check_size(size: int) -> None:
    if not 1 <= size <= LARGEST_CROP:
        raise ValueError(f"the model's crop has a size of {size}, not from 1 to {LARGEST_CROP}")
