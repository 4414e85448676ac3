"""The made data sets and the tiny run of the unit tests."""

from tests.unit.train.conftest import (
    appa_real,
    evaluated,
    portraits_folder,
    prepared,
    session_evaluation,
    session_run,
    tiny,
    trained,
    utkface,
)
from tests.unit.train.test_faceres import theirs
from tests.unit.train.test_torchscript import built, weights

__all__ = [
    "appa_real",
    "built",
    "evaluated",
    "portraits_folder",
    "prepared",
    "session_evaluation",
    "session_run",
    "theirs",
    "tiny",
    "trained",
    "utkface",
    "weights",
]
