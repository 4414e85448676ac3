"""The command of the unit tests."""

from tests.unit.train.configuration.conftest import run, seen

__all__ = ["run", "seen"]
