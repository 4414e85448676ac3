"""Failures and findings in words for whoever looks at a photo, not at an API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from face_age_client import Answer, ClientError, Interrupted, Malformed, Refused, Unreachable

START: Final = "scripts/serve.sh"
AGAIN: Final = "Ask again"  # the page's button

_REFUSALS: Final[Mapping[str, str]] = {
    "UnsupportedImageFormat": "This file is no photo that the service can read. "
    "Give it as JPEG, PNG, WebP, BMP or GIF.",
    "InvalidImage": "The photo is damaged or incomplete. Open it in a viewer and save it again.",
    "InvalidRequest": "The file is empty.",
    "ImageTooLarge": "The photo has too many pixels for the service. Make it smaller.",
    "HTTP 413": "The file is too large for the service, which takes 20 MB. Make it smaller.",
    "OutOfMemory": "The service has too little memory for this photo. Make it smaller.",
    "HTTP 401": "The service asks for a key. Start the demo with the key in FACE_AGE_KEY.",
}
_BUSY: Final = f"The service has too much to do at the moment. Press {AGAIN} in a while."


@dataclass(frozen=True)
class Trouble:
    """Why a photo has no answer."""

    text: str  # what it is and what to do
    detail: str = ""  # in the service's words


def trouble(error: ClientError, url: str, model: str) -> Trouble:
    """What to tell of an error, from the service at `url` or from nobody there."""
    if isinstance(error, Unreachable):
        return Trouble(
            f"No service answers at {url}. Start it with {START}, then press {AGAIN}.", str(error)
        )
    if isinstance(error, Interrupted):
        text = f"The service broke off, or took too long. Press {AGAIN}."
        return Trouble(text, str(error))
    if isinstance(error, Malformed):
        return Trouble(f"What answers at {url} is no face-age service.", str(error))
    if not isinstance(error, Refused):
        return Trouble(str(error))
    if error.retry_after is not None:
        return Trouble(_BUSY, error.message)
    if error.type == "ModelNotFoundException":
        start = f"{START} --models {model}={model}.mar"
        return Trouble(f"The service has no model {model}. Start it with one: {start}")
    known = _REFUSALS.get(error.type) or _REFUSALS.get(f"HTTP {error.code}")
    return Trouble(known or "The service gave no answer to this photo.", error.message)


def summary(answer: Answer) -> str:
    """What was found, in a sentence or two."""
    if answer.image is not None and not answer.faces:
        return ""  # the table says it
    if answer.faces:
        return "1 face" if len(answer.faces) == 1 else f"{len(answer.faces)} faces, largest first"
    unseen = (
        f" Faces narrower than {answer.smallest_face:.0f} pixels are not looked for in a photo of "
        f"{answer.width} x {answer.height}."
        if answer.smallest_face is not None
        else ""
    )
    return (
        f"No face was found.{unseen} Take one from nearer, turn it upright, or lower the "
        "confidence under Options."
    )
