"""What a roll-out promoted, so that the next start serves it in place of what it replaced.

A promotion holds for the very model that it replaced: whoever names another archive on the command
line, or packs other weights into the same one, is served that.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from server.errors import CommandError
from server.models import ServedModel, read_models
from train.atomic_write import atomic_write

FILE = "promoted.json"  # in the state folder


@dataclass(frozen=True)
class Promotion:
    """A version that is served in place of another one of its model."""

    instead_of: str  # name, version and weights, as `ServedModel` says them
    model: str  # likewise
    archive: str  # absolute path


def read(state: Path) -> dict[str, Promotion]:
    """The promotions in a state folder by the models' names. Raises CommandError."""
    file = state / FILE
    try:
        content = json.loads(file.read_text())
        return {name: Promotion(**values) for name, values in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{file} cannot be read ({error}): remove it, and name what was promoted by --models"
        ) from error


def replace(state: Path, name: str, before: str, after: str, archive: str) -> None:
    """Have the next start serve `after`, in an archive, where it would serve `before`.

    Both are a version of the model `name`, as `ServedModel` says it. Raises CommandError, OSError.
    """
    promotions = read(state)
    last = promotions.pop(name, None)
    known = last is not None and last.model in (before, after)
    named = last.instead_of if last is not None and known else before
    promotions[name] = Promotion(named, after, archive)
    with atomic_write(state / FILE) as partial:
        content = {key: asdict(promotion) for key, promotion in promotions.items()}
        partial.write_text(json.dumps(content, indent=2) + "\n")


def promoted(models: Sequence[ServedModel], state: Path) -> list[ServedModel]:
    """`models`, with those that were promoted in place of what they replaced.

    Raises CommandError if a promoted archive is missing or is no longer the one that was promoted.
    """
    promotions = read(state)
    served: dict[tuple[str, str], ServedModel] = {}
    for model in models:
        promotion = promotions.get(model.name)
        if promotion is not None and promotion.instead_of == str(model) != promotion.model:
            model = _archived(model.name, promotion, state)
        served.setdefault((model.name, model.version), model)
    return list(served.values())


def _archived(name: str, promotion: Promotion, state: Path) -> ServedModel:
    undo = f"or remove {state / FILE} to serve {promotion.instead_of} again"
    try:
        (model,) = read_models([f"{name}={promotion.archive}"], Path(), foreign=False)
    except CommandError as error:
        raise CommandError(f"{promotion.model} was promoted, and {error}; {undo}") from error
    if str(model) != promotion.model:
        raise CommandError(
            f"{promotion.archive} holds {model}, and {promotion.model} was promoted: put that "
            f"back, {undo}"
        )
    return model
