"""The made data sets and the tiny run of the unit tests."""

from tests.unit.train.conftest import (
    appa_real,
    colours,
    evaluated,
    portraits_folder,
    prepared,
    prepared_colours,
    session_evaluation,
    session_run,
    tiny,
    tiny_colours,
    trained,
    utkface,
)
from tests.unit.train.test_faceres import theirs
from tests.unit.train.test_torchscript import built, weights

__all__ = [
    "appa_real",
    "built",
    "colours",
    "evaluated",
    "portraits_folder",
    "prepared",
    "prepared_colours",
    "session_evaluation",
    "session_run",
    "theirs",
    "tiny",
    "tiny_colours",
    "trained",
    "utkface",
    "weights",
]
