"""Answers as rows of a table: one for each face, or one for an image without a face."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from handler.answer import Answer
from handler.options import Options
from handler.responses import attributes_content, face_content
from handler.task import Ordinal, Task
from train.files import printable

Row = dict[str, Any]  # by the columns' names; None: an empty cell


@dataclass(frozen=True)
class Column:
    """A column, and the key of an answer that it has."""

    name: str
    kind: type[str] | type[int] | type[float]
    key: str
    place: int | None = None  # in a list that the key has


PATH: Final = Column("path", str, "path")
ROTATION: Final = Column("rotation", int, "rotation")
FACE: Final = Column("face", int, "face")
_OF_FACES: Final = (
    FACE,
    *(Column(name, float, "box", place) for place, name in enumerate(("x1", "y1", "x2", "y2"))),
    Column("confidence", float, "confidence"),
)
FAILURES: Final = (PATH, Column("type", str, "type"), Column("message", str, "message"))

# Types of failures beside those of `handler.errors`.
UNREADABLE: Final = "Unreadable"  # the path cannot be read, or is not followed
NO_IMAGE: Final = "NoImage"  # a file beside the photos that never was one
ENDED: Final = "ProcessEnded"  # a process ended that worked on this file alone


def columns(tasks: Sequence[Task], options: Options) -> list[Column]:
    """The columns of the answers of models with these tasks.

    Raises ValueError if a task's name is that of another column.
    """
    found = [PATH, *((ROTATION,) if options.rotate else ())]
    found += _OF_FACES if any(task.is_of_faces for task in tasks) else ()
    for task in tasks:
        name = task.name
        if isinstance(task.output, Ordinal):
            found.append(Column(name, float, name))
            for place, end in enumerate(("low", "high")):
                found.append(Column(f"{name}_interval_{end}", float, f"{name}_interval", place))
        else:
            found.append(Column(name, str, name))
            found.append(Column(f"{name}_probability", float, f"{name}_probability"))
    twice = [name for name, count in Counter(each.name for each in found).items() if count > 1]
    if twice:
        raise ValueError(f"two columns would be named {twice[0]}: export the task by another name")
    return found


def rows(path: str, answer: Answer, columns: Sequence[Column]) -> list[Row]:
    """The rows of one image; numbers are rounded as in the service's answers.

    What is predicted of the whole image is in each of its rows.
    """
    of_image = {
        PATH.key: printable(path),
        ROTATION.key: answer.rotation,
        **attributes_content(answer.image or {}),
    }
    faces = [
        {**of_image, "face": number, **face_content(face)}
        for number, face in enumerate(answer.faces or ())
    ]
    return [
        {each.name: _cell(content, each) for each in columns} for content in faces or [of_image]
    ]


def failure(path: str, kind: str, message: str) -> Row:
    """The row of a file without an answer; `kind` is a type that docs/batch.md lists."""
    return {"path": printable(path), "type": kind, "message": message}


def _cell(content: Mapping[str, Any], column: Column) -> Any:
    value = content.get(column.key)
    return value if value is None or column.place is None else value[column.place]
