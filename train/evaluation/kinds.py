"""The kind of a task, by its output."""

from collections.abc import Mapping
from typing import Any

from handler.task import Categories, Ordinal, Task
from train.evaluation.categories import CategoryKind
from train.evaluation.kind import AnyKind
from train.evaluation.ordinal import AGE, OrdinalKind


def kind_of(task: Task) -> AnyKind:
    """How `task` is evaluated."""
    return _kind(task.name, "faces" if task.is_of_faces else "images", task.output)


def from_json(values: Mapping[str, Any] | None) -> AnyKind:
    """The inverse of `Kind.to_json`."""
    if values is None:
        return AGE
    ((name, content),) = values["output"].items()
    output: Ordinal | Categories
    output = Ordinal(**content) if name == "ordinal" else Categories(tuple(content["names"]))
    return _kind(values["name"], values["items"], output)


def _kind(name: str, items: str, output: Ordinal | Categories) -> AnyKind:
    if isinstance(output, Ordinal):
        return OrdinalKind(name, items, output=output)
    return CategoryKind(name, items, output=output)
