"""Options of `predict`, and their text in headers and gRPC entries."""

import re
from collections.abc import Sequence
from typing import Final, Literal, TypedDict


class Options(TypedDict, total=False):
    """Options of one image; None, as if left out, for the service's default."""

    min_confidence: float | None  # leave out faces below it, 0 to 1
    max_faces: int | None  # keep only the largest ones
    attributes: str | Sequence[str] | None  # names of tasks; none: all that the model has
    top_k: int | None  # how many scores a category has
    distribution: bool | None  # give the distribution of each number
    quality: bool | None  # give the quality of each face's crop
    relative: bool | None  # give boxes in fractions of the image's width and height, too
    rotate: Literal["auto"] | None  # look for faces in the turned image, too, if it may be turned


PictureFormat = Literal["jpeg", "png"]
# https://www.w3.org/TR/trace-context/#traceparent-header; all zeros are not valid
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)


def texts(options: Options) -> dict[str, str]:
    """The options that are given, as text. Raises TypeError for an unknown name."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"predict() got an unexpected keyword argument {name!r}")
    given = {name: _text(value) for name, value in options.items()}
    return {name: text for name, text in given.items() if text}


def trace(traceparent: str) -> dict[str, str]:
    """The header, or the gRPC entry, of a trace; none of one that is not valid."""
    return {"traceparent": traceparent} if _TRACEPARENT.fullmatch(traceparent) else {}


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, Sequence) else str(value)
