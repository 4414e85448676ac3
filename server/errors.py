"""The error that ends a command, and the exit code that it gives."""

import sys
from collections.abc import Callable


class CommandError(Exception):
    """A command cannot continue; the message is one line for the user."""


class ArchiveError(CommandError):
    """The archive cannot be made, or differs from its sources."""


def exit_code_of(command: Callable[[], int]) -> int:
    """The command's exit code; 1, with one line on stderr, if it raises CommandError or OSError."""
    try:
        return command()
    except CommandError as error:
        line = str(error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        line = f"{place}{error.strerror or error}"
    print(f"error: {line}", file=sys.stderr)
    return 1
