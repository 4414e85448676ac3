"""TorchServe's launcher, which replaces itself with Java, so that its parent sees Java's exit code.

The original waits for Java and exits with 0, whether Java was stopped, killed or crashed.
"""

import os
import signal
import sys
from types import SimpleNamespace
from typing import NoReturn

from ts import model_server


def exec_command(command: list[str]) -> NoReturn:
    """Stands in for `subprocess.Popen`."""
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Java would inherit Python's SIG_IGN
    os.execvp(command[0], command)  # nosec B606  # no shell, no user input


if __name__ == "__main__":
    model_server.subprocess = SimpleNamespace(Popen=exec_command)
    model_server.start()
