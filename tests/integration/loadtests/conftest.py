"""The server of the unit tests."""

from tests.unit.loadtests.conftest import server

__all__ = ["server"]
