"""server/errors.py."""

import errno

import pytest

from server.errors import CommandError, exit_code_of
from server.readiness import NotReady


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CommandError("no java"), "error: no java\n"),
        (NotReady("no worker"), "error: no worker\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device\n"),
        (OSError(errno.ENOENT, "No such file", "a.mar"), "error: a.mar: No such file\n"),
        (OSError("broken"), "error: broken\n"),
    ],
)
def test_an_error_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    assert exit_code_of(command) == 1
    assert capsys.readouterr() == ("", line)


def test_the_command_s_own_exit_code() -> None:
    assert exit_code_of(lambda: 3) == 3


def test_other_errors_are_bugs() -> None:
    with pytest.raises(KeyError):
        exit_code_of(lambda: {}["missing"])
