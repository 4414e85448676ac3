"""The record of a roll-out, by which an interrupted one is continued or undone."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from handler.integrity import described
from server.errors import CommandError
from train.atomic_write import atomic_write

FILE = "rollout.json"  # in the service's state folder
LOCK = "rollout.lock"


class Step(StrEnum):
    """Where a roll-out stands; each step can be done again."""

    LOADING = "loading"  # the candidate is registered and warmed
    COMPARING = "comparing"  # on copies of requests
    SHARING = "sharing"  # the candidate answers a part of the requests
    PROMOTING = "promoting"  # it becomes the default, the other one is drained and unregistered
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling back"  # the other one is the default, the candidate is unregistered
    ROLLED_BACK = "rolled back"

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to do."""
        return self in (Step.PROMOTED, Step.ROLLED_BACK)


@dataclass(frozen=True)
class Release:
    """A version of the model and where it comes from."""

    version: str
    weights: str  # see `handler.integrity.weights_identity`
    archive: str  # absolute path
    workers: int  # while it is the default


@dataclass(frozen=True)
class Record:
    """A roll-out."""

    model: str  # its name in TorchServe
    stable: Release  # what served before
    candidate: Release
    step: Step
    reason: str = ""  # why it is rolled back
    figures: Mapping[str, Any] = field(default_factory=dict)  # by step, as they were compared

    def said(self, release: Release) -> str:
        """A release in words: age 2.0, weights 0123456789ab."""
        return described(self.model, release.version, release.weights)

    @classmethod
    def read(cls, state: Path) -> Self | None:
        """The record in a state folder, if there is one. Raises CommandError if it is broken."""
        file = state / FILE
        try:
            values = json.loads(file.read_text())
            values["step"] = Step(values["step"])
            for name in ("stable", "candidate"):
                values[name] = Release(**values[name])
            return cls(**values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CommandError(
                f"{file} cannot be read ({error}): remove it; a start of the service anew serves "
                "what it served before"
            ) from error

    def write(self, state: Path) -> None:
        """Replace the record of a state folder, whole or not at all. Raises OSError."""
        with atomic_write(state / FILE) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2) + "\n")


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the lock of the roll-outs of a state folder. Raises CommandError if another has it."""
    with (state / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise CommandError(
                f"face-age rollout runs already (process {file.read().strip() or 'unknown'}): wait "
                "for it, or end it first"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
