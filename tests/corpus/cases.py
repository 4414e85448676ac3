"""What a case of bad or odd input is: what is sent, and the exact answer to it.

`files`, `pixels`, `faces` and `encodings` hold the cases; all images are made. They are sent to a
real service over REST and gRPC (tests/service/test_bad_input.py), mixed with good ones in batches
(tests/integration/handler/test_bad_input.py), and the small ones are the fuzzers' seeds
(tests/unit/fuzz/seeds.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.images import RGBImage

Box = tuple[float, float, float, float]
Headers = dict[str, str]


@dataclass(frozen=True)
class Refused:
    """A failure of the service's own shape, or of TorchServe's, which is the same."""

    code: int
    type: str


@dataclass(frozen=True)
class Seen:
    """An answer: the image's size, how many faces, and where the largest is."""

    width: int
    height: int
    faces: int
    box: Box | None = None
    within: float = 8.0  # pixels
    rotation: int | None = None  # degrees clockwise, if asked for


Outcome = Refused | Seen


@dataclass(frozen=True)
class File:
    """An image's file: the body of a request, and the entry `data` of a gRPC map."""

    name: str
    make: Callable[[RGBImage], bytes]  # of an image that it shows, where it shows one
    outcome: Outcome  # for `astronaut()`

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Message:
    """A request around a good image."""

    name: str
    outcome: Outcome
    body: Callable[[bytes], tuple[bytes, Headers]] | None = None  # over REST; None: not sent
    entries: Callable[[bytes], Mapping[str, bytes]] | None = None  # over gRPC; None: not sent

    def __str__(self) -> str:
        return self.name


def assert_outcome(content: Any, outcome: Outcome) -> None:
    """The JSON of an answer or a failure is as it should be."""
    if isinstance(outcome, Refused):
        assert content.keys() == {"code", "type", "message"}, content
        assert (content["code"], content["type"]) == (outcome.code, outcome.type), content
        assert content["message"]
        return
    rotated = set() if outcome.rotation is None else {"rotation"}
    keys = {"width", "height", "faces", "smallest_face", "model"} | rotated
    assert content.keys() == keys, content
    assert content.get("rotation") == outcome.rotation
    assert (content["width"], content["height"]) == (outcome.width, outcome.height)
    assert len(content["faces"]) == outcome.faces
    if outcome.box:
        assert content["faces"][0]["box"] == pytest.approx(outcome.box, abs=outcome.within)
