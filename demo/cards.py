"""A photo's answer as HTML: the picture that the service drew, and a table of what it says."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from demo.wording import Trouble, summary
from face_age_client import Answer, Category, Face, Ordinal

_WHAT: Final = "what"  # the first column
_WHOLE: Final = "whole image"
Cells = Mapping[str, str]  # by the column's title


@dataclass(frozen=True)
class Found:
    """The answer to a photo, and the JPEG with the answer drawn."""

    answer: Answer
    picture: bytes


def card(name: str, result: Found | Trouble) -> str:
    """The HTML of one photo's result; `name` is the file's."""
    title = f"<h2>{escape(name)}</h2>"
    if isinstance(result, Trouble):
        detail = (
            f"<p><small>The service says: {escape(result.detail)}</small></p>"
            if result.detail
            else ""
        )
        body = f'<div role="alert"><p>{escape(result.text)}</p>{detail}</div>'
    else:
        text = summary(result.answer)
        body = (
            f'<img alt="{escape(name)}, with what was found drawn on it" '
            f'src="data:image/jpeg;base64,{base64.b64encode(result.picture).decode()}">'
            + (f"<p>{escape(text)}</p>" if text else "")
            + table(rows(result.answer))
        )
    return f'<section class="photo">{title}{body}</section>'


def rows(answer: Answer) -> list[Cells]:
    """A row for the whole image, if the model predicts of it, and one for each face."""
    whole = [] if answer.image is None else [{_WHAT: _WHOLE, **_cells(answer.image)}]
    return [*whole, *(_of_face(i, face) for i, face in enumerate(answer.faces, start=1))]


def table(content: Sequence[Cells]) -> str:
    """The rows as HTML, with a column for each title; "" if there is none."""
    if not content:
        return ""
    titles = list(dict.fromkeys(title for row in content for title in row))
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    lines = []
    for row in content:
        first, *others = (escape(row.get(title, "")) for title in titles)
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    # a focus of its own, so that the keyboard can scroll a wide table
    return (
        '<div class="table" role="region" aria-label="table of what was found" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _of_face(number: int, face: Face) -> Cells:
    x1, y1, x2, y2 = face.box
    cells = {
        _WHAT: f"face {number}",
        **_cells(face.predictions),
        "confidence": f"{100 * face.confidence:.1f} %",
        "box, pixels": f"{x2 - x1:.0f} x {y2 - y1:.0f} at {x1:.0f}, {y1:.0f}",
    }
    if face.quality is not None:
        cells |= {
            "sharpness": f"{face.quality.sharpness:.0f}",
            "brightness": f"{face.quality.brightness:.2f}",
            "roll": f"{face.quality.roll:.0f}°",
        }
    return cells


def _cells(predictions: Mapping[str, Ordinal | Category]) -> Cells:
    cells: dict[str, str] = {}
    for name, found in predictions.items():
        if isinstance(found, Ordinal):
            low, high = found.interval
            cells[name] = f"{found.value:.1f}"
            cells[f"{name}, 90 % interval"] = f"{low:.0f} to {high:.0f}"
        else:
            cells[name] = f"{found.label} {_percent(found.probability)}"
            others = [
                f"{label} {_percent(score)}"
                for label, score in found.scores.items()
                if label != found.label
            ]
            cells[f"{name}, next"] = ", ".join(others)
    return cells


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
