"""An answer as a line: JSON, or text for a person."""

import base64
import json
import os
from pathlib import Path

from commands.image_search import shown
from face_age_client.answer import Answer, Category, Ordinal, Predictions


def as_json(image: Path, answer: Answer) -> str:
    """A JSON line: the answer with the file's name, and its bytes in base64 if not UTF-8."""
    raw = os.fsencode(image)
    try:
        file = {"file": raw.decode()}  # independent of the locale
    except UnicodeDecodeError:
        file = {"file": shown(image), "file_base64": base64.b64encode(raw).decode()}
    return json.dumps({**file, **answer.content}, ensure_ascii=False)


def as_text(image: Path, answer: Answer, *, scores: bool = False) -> str:
    """A line for a person; `scores`: with all scores of a category, not only the highest."""
    parts = []
    if answer.image is not None:
        parts.append(f"image: {_named(answer.image, scores)}")
    if answer.faces or answer.image is None:
        faces = [_of_face(face.predictions, scores) for face in answer.faces]
        count = {0: "no face", 1: "1 face"}.get(len(faces), f"{len(faces)} faces")
        separator = "; " if any(", " in face for face in faces) else ", "
        parts.append(f"{count}{': ' if faces else ''}{separator.join(faces)}")
    if answer.rotation:
        parts.append(f"turned by {answer.rotation} degrees")
    return f"{shown(image)}: {'; '.join(parts)}"


def _of_face(predictions: Predictions, scores: bool) -> str:
    """With the tasks' names if there are several."""
    if len(predictions) > 1:
        return _named(predictions, scores)
    return "".join(_text(prediction, scores) for prediction in predictions.values())


def _named(predictions: Predictions, scores: bool) -> str:
    return ", ".join(f"{shown(name)} {_text(p, scores)}" for name, p in predictions.items())


def _text(prediction: Ordinal | Category, scores: bool) -> str:
    if isinstance(prediction, Ordinal):
        low, high = prediction.interval
        return f"{prediction.value:.1f} ({low:.0f} to {high:.0f})"
    listed = prediction.scores if scores else {prediction.label: prediction.probability}
    return " ".join(f"{shown(label)} {score:.2f}" for label, score in listed.items())
