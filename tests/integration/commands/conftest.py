"""The server and the images of the unit tests."""

from tests.unit.commands.conftest import folder, server

__all__ = ["folder", "server"]
