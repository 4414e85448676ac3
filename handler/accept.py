"""Which of the forms of an answer a client accepts."""

from collections.abc import Mapping
from typing import Final

PICTURES: Final[Mapping[str, str]] = {"jpeg": "image/jpeg", "png": "image/png"}  # and their types
JSON: Final = "application/json"


def preferred_picture(accept: str) -> str:
    """The picture that a header `Accept` prefers to JSON: a key of PICTURES; "" for JSON.

    By the quality of the most specific range that holds a type (RFC 9110, section 12.5.1). JSON is
    preferred where a picture is accepted as gladly, as by */*, and where neither is accepted.
    """
    ranges = dict(map(_range, accept.lower().split(",")))
    best, preferred = _quality(JSON, ranges), ""
    for name, media_type in PICTURES.items():
        quality = _quality(media_type, ranges)
        if quality > best:
            best, preferred = quality, name
    return preferred


def _range(text: str) -> tuple[str, float]:
    """A media range and its quality, 0 to 1; 0 where that is no number."""
    media, *parameters = (part.strip() for part in text.split(";"))
    given = (part[2:].strip() for part in parameters if part.startswith("q="))
    try:
        quality = float(next(given, "1"))
    except ValueError:
        return media, 0.0
    return media, quality if 0 <= quality <= 1 else 0.0


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    family = media_type.partition("/")[0] + "/*"
    return next((ranges[each] for each in (media_type, family, "*/*") if each in ranges), 0.0)
